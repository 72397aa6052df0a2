"""The published algorithm in plain loops, one layer at a time: to be read. `greedy.py` does the same, much faster.

Every function takes plain lists of numbers, whole, floating or exact. The algorithm itself is in the generators: each
yields what it has just done, a Step, and in the end returns its result, so that pictures of its steps show the very
computation. Sources: the repository deepseek-ai/EPLB, and section 3.4 of the DeepSeek-V3 report (arXiv 2412.19437).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .sizes import Sizes, as_load
from .solver.greedy import scaled
from .solver.packing import logical_to_physical

Number = Any  # int, float, Fraction, np.float32: whatever can be added, divided and compared
Result = TypeVar("Result")


class Step(NamedTuple):
    """One step. kind: "copy": expert `item` now has `place` copies; "slot": a copy of expert `item` goes to GPU
    `place`; "group": group `item` goes to node `place`; "pack": item `item` goes to pack `place`.
    """

    kind: str
    item: int
    place: int


Steps = Generator[Step, None, Result]  # what is done, step by step, and in the end the result


def finish(steps: Steps[Result]) -> Result:
    """The result, without looking at the steps.

    >>> finish(pack_steps([9, 7, 6, 5, 4, 1], packs=2))
    [[0, 3, 5], [1, 2, 4]]
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def replicate(loads: Sequence[Number], replicas: int) -> tuple[list[int], list[int]]:
    """Give every expert one copy, then again and again one more to that whose copies are the heaviest.

    Returns, per replica, its expert and its rank among that expert's copies.

    >>> replicate([8, 3, 1], 6)
    ([0, 1, 2, 0, 0, 1], [0, 0, 0, 1, 2, 1])
    """
    return finish(replicate_steps(loads, replicas))


def replicate_steps(loads: Sequence[Number], replicas: int) -> Steps[tuple[list[int], list[int]]]:
    """The steps of `replicate`, each a "copy".

    >>> [(step.item, step.place) for step in replicate_steps([8, 3, 1], 6)]
    [(0, 2), (0, 3), (1, 2)]
    """
    expert_of = list(range(len(loads)))
    rank_of = [0] * len(loads)
    copies = [1] * len(loads)
    while len(expert_of) < replicas:
        heaviest = max(range(len(loads)), key=lambda expert: loads[expert] / copies[expert])
        expert_of.append(heaviest)
        rank_of.append(copies[heaviest])
        copies[heaviest] += 1
        yield Step("copy", heaviest, copies[heaviest])
    return expert_of, rank_of


def pack(weights: Sequence[Number], packs: int) -> list[list[int]]:
    """Fill packs of equal size: heaviest item first, each into the lightest pack that has room.

    >>> pack([9, 7, 6, 5, 4, 1], packs=2)
    [[0, 3, 5], [1, 2, 4]]
    """
    return finish(pack_steps(weights, packs))


def pack_steps(weights: Sequence[Number], packs: int) -> Steps[list[list[int]]]:
    """The steps of `pack`, each a "pack".

    >>> [(step.item, step.place) for step in pack_steps([5, 9, 4, 1], 2)]
    [(1, 0), (0, 1), (2, 1), (3, 0)]
    """
    room = len(weights) // packs
    if room == 1:  # one item each: nothing to choose
        for item in range(packs):
            yield Step("pack", item, item)
        return [[item] for item in range(packs)]
    packed: list[list[int]] = [[] for _ in range(packs)]
    filled: list[Number] = [0] * packs
    for item in sorted(range(len(weights)), key=lambda item: weights[item], reverse=True):
        lightest = min((p for p in range(packs) if len(packed[p]) < room), key=lambda p: filled[p])
        packed[lightest].append(item)
        filled[lightest] += weights[item]
        yield Step("pack", item, lightest)
    return packed


def place_global(loads: Sequence[Number], replicas: int, gpus: int) -> tuple[list[int], list[int]]:
    """Replicate the experts, then pack all replicas into GPUs. Returns each slot's expert and rank, GPU after GPU.

    >>> place_global([8, 3, 1], replicas=6, gpus=2)
    ([0, 0, 2, 0, 1, 1], [0, 2, 0, 1, 0, 1])
    """
    return finish(global_steps(loads, replicas, gpus))


def global_steps(loads: Sequence[Number], replicas: int, gpus: int) -> Steps[tuple[list[int], list[int]]]:
    """The steps of `place_global`: first each "copy", then each "slot".

    >>> [f"{step.kind} {step.item} {step.place}" for step in global_steps([8, 3], replicas=4, gpus=2)]
    ['copy 0 2', 'copy 0 3', 'slot 1 0', 'slot 0 1', 'slot 0 1', 'slot 0 0']
    """
    if not any(loads):  # nothing is known: all count the same, so that copies spread
        loads = [1] * len(loads)
    expert_of, rank_of = yield from replicate_steps(loads, replicas)
    copies = [expert_of.count(expert) for expert in range(len(loads))]
    packing = pack_steps([loads[expert] / copies[expert] for expert in expert_of], gpus)
    packed = yield from told(packing, lambda step: Step("slot", expert_of[step.item], step.place))
    slots = [replica for gpu in packed for replica in gpu]
    return [expert_of[replica] for replica in slots], [rank_of[replica] for replica in slots]


def place_hierarchical(
    loads: Sequence[Number], replicas: int, groups: int, nodes: int, gpus: int
) -> tuple[list[int], list[int]]:
    """Pack groups of experts into nodes; then, within each node, replicate its experts and pack them into its GPUs.

    >>> place_hierarchical([9, 1, 2, 2, 3, 3, 4, 4], replicas=12, groups=4, nodes=2, gpus=4)[0]
    [0, 0, 1, 0, 2, 3, 4, 6, 6, 5, 7, 7]
    """
    return finish(hierarchical_steps(loads, replicas, groups, nodes, gpus))


def hierarchical_steps(
    loads: Sequence[Number], replicas: int, groups: int, nodes: int, gpus: int
) -> Steps[tuple[list[int], list[int]]]:
    """The steps of `place_hierarchical`: each "group", then node by node each "copy" and each "slot".

    >>> steps = hierarchical_steps([9, 1, 2, 2], replicas=6, groups=2, nodes=2, gpus=2)
    >>> [f"{step.kind} {step.item} {step.place}" for step in steps][:6]
    ['group 0 0', 'group 1 1', 'copy 0 2', 'slot 0 0', 'slot 0 0', 'slot 1 0']
    """
    size = len(loads) // groups
    members = [list(range(group * size, (group + 1) * size)) for group in range(groups)]
    expert_of: list[int] = []
    rank_of: list[int] = []
    packing = pack_steps([sum(loads[expert] for expert in group) for group in members], nodes)
    packed = yield from told(packing, lambda step: Step("group", step.item, step.place))
    for node, its_groups in enumerate(packed):
        experts = [expert for group in its_groups for expert in members[group]]
        inside = global_steps([loads[expert] for expert in experts], replicas // nodes, gpus // nodes)
        first = node * gpus // nodes
        placed, ranks = yield from told(inside, partial(_from_node, experts=experts, first=first))
        expert_of += [experts[expert] for expert in placed]
        rank_of += ranks
    return expert_of, rank_of


def told(steps: Steps[Result], tell: Callable[[Step], Step]) -> Steps[Result]:
    """The same steps in other words, those of whoever asked for them; and the same result."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        yield tell(step)


def _from_node(step: Step, experts: Sequence[int], first: int) -> Step:
    """A node counts its own experts and GPUs; here by their numbers in the whole layer."""
    return Step(step.kind, experts[step.item], step.place + (first if step.kind == "slot" else 0))


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
