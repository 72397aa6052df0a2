"""The published algorithm in plain loops, one layer at a time: to be read. `greedy.py` does the same, much faster.

Every function takes plain lists of numbers, whole, floating or exact. Sources: the repository deepseek-ai/EPLB, and
section 3.4 of the DeepSeek-V3 report (arXiv 2412.19437).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .greedy import scaled
from .packing import logical_to_physical
from .sizes import Sizes, as_load

Number = Any  # int, float, Fraction, np.float32: whatever can be added, divided and compared


def replicate(loads: Sequence[Number], replicas: int) -> tuple[list[int], list[int]]:
    """Give every expert one copy, then again and again one more to that whose copies are the heaviest.

    Returns, per replica, its expert and its rank among that expert's copies.

    >>> replicate([8, 3, 1], 6)
    ([0, 1, 2, 0, 0, 1], [0, 0, 0, 1, 2, 1])
    """
    expert_of = list(range(len(loads)))
    rank_of = [0] * len(loads)
    copies = [1] * len(loads)
    while len(expert_of) < replicas:
        heaviest = max(range(len(loads)), key=lambda expert: loads[expert] / copies[expert])
        expert_of.append(heaviest)
        rank_of.append(copies[heaviest])
        copies[heaviest] += 1
    return expert_of, rank_of


def pack(weights: Sequence[Number], packs: int) -> list[list[int]]:
    """Fill packs of equal size: heaviest item first, each into the lightest pack that has room.

    >>> pack([9, 7, 6, 5, 4, 1], packs=2)
    [[0, 3, 5], [1, 2, 4]]
    """
    room = len(weights) // packs
    if room == 1:
        return [[item] for item in range(packs)]
    packed: list[list[int]] = [[] for _ in range(packs)]
    filled: list[Number] = [0] * packs
    for item in sorted(range(len(weights)), key=lambda item: weights[item], reverse=True):
        lightest = min((p for p in range(packs) if len(packed[p]) < room), key=lambda p: filled[p])
        packed[lightest].append(item)
        filled[lightest] += weights[item]
    return packed


def place_global(loads: Sequence[Number], replicas: int, gpus: int) -> tuple[list[int], list[int]]:
    """Replicate the experts, then pack all replicas into GPUs. Returns each slot's expert and rank, GPU after GPU.

    >>> place_global([8, 3, 1], replicas=6, gpus=2)
    ([0, 0, 2, 0, 1, 1], [0, 2, 0, 1, 0, 1])
    """
    if not any(loads):  # nothing is known: all count the same, so that copies spread
        loads = [1] * len(loads)
    expert_of, rank_of = replicate(loads, replicas)
    copies = [expert_of.count(expert) for expert in range(len(loads))]
    packed = pack([loads[expert] / copies[expert] for expert in expert_of], gpus)
    slots = [replica for gpu in packed for replica in gpu]
    return [expert_of[replica] for replica in slots], [rank_of[replica] for replica in slots]


def place_hierarchical(
    loads: Sequence[Number], replicas: int, groups: int, nodes: int, gpus: int
) -> tuple[list[int], list[int]]:
    """Pack groups of experts into nodes; then, within each node, replicate its experts and pack them into its GPUs.

    >>> place_hierarchical([9, 1, 2, 2, 3, 3, 4, 4], replicas=12, groups=4, nodes=2, gpus=4)[0]
    [0, 0, 1, 0, 2, 3, 4, 6, 6, 5, 7, 7]
    """
    size = len(loads) // groups
    members = [list(range(group * size, (group + 1) * size)) for group in range(groups)]
    expert_of: list[int] = []
    rank_of: list[int] = []
    for node in pack([sum(loads[expert] for expert in group) for group in members], nodes):
        experts = [expert for group in node for expert in members[group]]
        placed, ranks = place_global([loads[expert] for expert in experts], replicas // nodes, gpus // nodes)
        expert_of += [experts[expert] for expert in placed]
        rank_of += ranks
    return expert_of, rank_of


def rebalance_experts(
    weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same as `pipelab.eplb.rebalance_experts`, layer after layer through the loops above."""
    load = as_load(weight)
    layers, experts = load.shape
    sizes = Sizes.published(layers, experts, num_replicas, num_groups, num_nodes, num_gpus)
    placed = np.zeros((sizes.layers, sizes.replicas), dtype=np.int64)
    rank = np.zeros_like(placed)
    count = np.zeros(load.shape, dtype=np.int64)
    for layer, loads in enumerate(scaled(load)):
        found = place_hierarchical(loads, sizes.replicas, sizes.groups, sizes.nodes, sizes.gpus)
        placed[layer], rank[layer] = found
        count[layer] = np.bincount(placed[layer], minlength=sizes.experts)
    return placed, logical_to_physical(placed, rank, count), count
