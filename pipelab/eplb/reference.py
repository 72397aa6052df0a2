"""The published algorithm in plain loops, one layer at a time. It is here to be read; `solver/` does the same, faster.

Every function takes a plain list of numbers (int, float or Fraction) and is a generator: it yields each Step that it
takes, and returns its result at the end. Pictures of the steps so show the very computation; `finish` gives the result
alone.

References
----------
https://github.com/deepseek-ai/EPLB (eplb.py) · the DeepSeek-V3 report, section 3.4 (arXiv 2412.19437)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .sizes import Sizes, as_load, scaled

Number = Any  # int, float, Fraction, np.float32: whatever can be added, divided and compared
Result = TypeVar("Result")


class Step(NamedTuple):
    """One step. Its kind says what the other two numbers mean.

    "replica": expert `item` now has `place` replicas; "pack": item `item` goes to pack `place`;
    "slot": a replica of expert `item` goes to GPU `place`; "group": group `item` goes to node `place`.
    """

    kind: str
    item: int
    place: int


Steps = Generator[Step, None, Result]  # yields each step, and returns the result


def finish(steps: Steps[Result]) -> Result:
    """Take all steps, and return the result.

    >>> finish(pack_steps([9, 7, 6, 5, 4, 1], packs=2))
    [[0, 3, 5], [1, 2, 4]]
    """
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def replicate_steps(loads: Sequence[Number], replicas: int) -> Steps[tuple[list[int], list[int]]]:
    """Give every expert one replica; then, again and again, one more to the expert whose replicas are the heaviest.

    Returns two lists with an entry per replica: its expert, and its rank among that expert's replicas.

    >>> finish(replicate_steps([8, 3, 1], 6))
    ([0, 1, 2, 0, 0, 1], [0, 0, 0, 1, 2, 1])
    >>> [(step.item, step.place) for step in replicate_steps([8, 3, 1], 6)]
    [(0, 2), (0, 3), (1, 2)]
    """
    expert_of = list(range(len(loads)))
    rank_of = [0] * len(loads)
    count = [1] * len(loads)
    while len(expert_of) < replicas:
        heaviest = max(range(len(loads)), key=lambda expert: loads[expert] / count[expert])
        expert_of.append(heaviest)
        rank_of.append(count[heaviest])
        count[heaviest] += 1
        yield Step("replica", heaviest, count[heaviest])
    return expert_of, rank_of


def pack_steps(weights: Sequence[Number], packs: int) -> Steps[list[list[int]]]:
    """Fill packs of equal size: the heaviest item first, each into the lightest pack that has room.

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


def global_steps(loads: Sequence[Number], replicas: int, gpus: int) -> Steps[tuple[list[int], list[int]]]:
    """Replicate the experts, then pack all replicas into GPUs. Returns each slot's expert and rank, GPU after GPU.

    >>> [f"{step.kind} {step.item} {step.place}" for step in global_steps([8, 3], replicas=4, gpus=2)]
    ['replica 0 2', 'replica 0 3', 'slot 1 0', 'slot 0 1', 'slot 0 1', 'slot 0 0']
    """
    if not any(loads):  # nothing is known: all experts count the same, so that replicas spread
        loads = [1] * len(loads)
    expert_of, rank_of = yield from replicate_steps(loads, replicas)
    count = [expert_of.count(expert) for expert in range(len(loads))]
    packing = pack_steps([loads[expert] / count[expert] for expert in expert_of], gpus)
    packed = yield from _as(packing, lambda step: Step("slot", expert_of[step.item], step.place))
    slots = [replica for gpu in packed for replica in gpu]
    return [expert_of[replica] for replica in slots], [rank_of[replica] for replica in slots]


def hierarchical_steps(
    loads: Sequence[Number], replicas: int, groups: int, nodes: int, gpus: int
) -> Steps[tuple[list[int], list[int]]]:
    """Pack groups of experts into nodes; then, within each node, replicate its experts and pack them into its GPUs.

    >>> steps = hierarchical_steps([9, 1, 2, 2], replicas=6, groups=2, nodes=2, gpus=2)
    >>> [f"{step.kind} {step.item} {step.place}" for step in steps][:6]
    ['group 0 0', 'group 1 1', 'replica 0 2', 'slot 0 0', 'slot 0 0', 'slot 1 0']
    """
    size = len(loads) // groups
    members = [list(range(group * size, (group + 1) * size)) for group in range(groups)]
    packing = pack_steps([sum(loads[expert] for expert in group) for group in members], nodes)
    packed = yield from _as(packing, lambda step: step._replace(kind="group"))
    expert_of: list[int] = []
    rank_of: list[int] = []
    for node, its_groups in enumerate(packed):
        experts = [expert for group in its_groups for expert in members[group]]
        first_gpu = node * gpus // nodes

        def of_layer(step: Step, experts: list[int] = experts, first: int = first_gpu) -> Step:
            """A node numbers its own experts and GPUs; this gives their numbers in the whole layer."""
            return Step(step.kind, experts[step.item], step.place + (first if step.kind == "slot" else 0))

        inside = global_steps([loads[expert] for expert in experts], replicas // nodes, gpus // nodes)
        placed, ranks = yield from _as(inside, of_layer)
        expert_of += [experts[expert] for expert in placed]
        rank_of += ranks
    return expert_of, rank_of


def _as(steps: Steps[Result], rewrite: Callable[[Step], Step]) -> Steps[Result]:
    """The same steps, each rewritten for the caller, and the same result."""
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return end.value
        yield rewrite(step)


def rebalance_experts(
    weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same three maps as `pipelab.eplb.rebalance_experts`, layer after layer through the loops above."""
    load = as_load(weight)
    sizes = Sizes.published(load.shape, num_replicas, num_groups, num_nodes, num_gpus)
    placed = np.zeros((sizes.layers, sizes.replicas), dtype=np.int64)
    rank = np.zeros_like(placed)
    count = np.zeros(load.shape, dtype=np.int64)
    for layer, loads in enumerate(scaled(load)):
        steps = hierarchical_steps(loads, sizes.replicas, sizes.groups, sizes.nodes, sizes.gpus)
        placed[layer], rank[layer] = finish(steps)
        count[layer] = np.bincount(placed[layer], minlength=sizes.experts)
    slots = np.full((*load.shape, int(count.max(initial=1))), -1, dtype=np.int64)
    for (layer, slot), expert in np.ndenumerate(placed):
        slots[layer, expert, rank[layer, slot]] = slot
    return placed, slots, count
