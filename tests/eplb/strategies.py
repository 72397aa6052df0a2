"""What the tests of eplb share: sizes and loads at random, what every plan must fulfil, the best of all placements."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations, combinations_with_replacement

import numpy as np
from hypothesis import strategies as st

from pipelab.eplb import Plan
from pipelab.eplb.sizes import Sizes

#: Small numbers, so that ties abound; the others stretch what floats can do.
NUMBERS = st.one_of(
    st.integers(0, 9),
    st.sampled_from([0, 1, 2**24 + 1, 1e-30, 1e30, 1 / 3]),
    st.floats(0, 100, allow_subnormal=False),
)


@st.composite
def sizes_and_load(draw: st.DrawFn) -> tuple[Sizes, np.ndarray]:
    """Sizes that fit together, hierarchical and global, and loads for them."""
    nodes, per_node = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    groups, size = nodes * draw(st.integers(1, 3)), draw(st.integers(1, 4))
    gpus, experts = nodes * per_node, groups * size
    least = -(-experts // gpus)
    slots = draw(st.integers(least, least + 3))
    layers = draw(st.integers(1, 3))
    if draw(st.booleans()):
        groups = nodes + 1 if nodes > 1 else 1  # the global policy
    load = [[draw(NUMBERS) for _ in range(experts)] for _ in range(layers)]
    return Sizes(layers, experts, slots * gpus, gpus, nodes, groups), np.array(load, dtype=float)


def arguments(sizes: Sizes) -> tuple[int, int, int, int]:
    """As rebalance takes them."""
    return sizes.replicas, sizes.gpus, sizes.nodes, sizes.groups


def published_arguments(sizes: Sizes) -> tuple[int, int, int, int]:
    """As rebalance_experts takes them."""
    return sizes.replicas, sizes.groups, sizes.nodes, sizes.gpus


def check(plan: Plan) -> None:
    """All that holds for every plan, whatever made it."""
    sizes, placed = plan.sizes, plan.physical_to_logical
    layers, experts = plan.load.shape
    assert placed.shape == (layers, sizes.replicas) and placed.dtype == np.int64
    assert plan.replica_count.shape == (layers, experts)
    most = plan.replica_count.max(initial=1)
    assert plan.logical_to_physical.shape == (layers, experts, most)
    for layer in range(layers):
        for expert in range(experts):
            slots = plan.logical_to_physical[layer, expert]
            count = plan.replica_count[layer, expert]
            assert count >= 1
            assert (slots[count:] == -1).all()
            assert sorted(slots[:count]) == np.flatnonzero(placed[layer] == expert).tolist()
    assert plan.gpu_load.shape == (layers, sizes.gpus) and plan.node_load.shape == (layers, sizes.nodes)
    for loads in (plan.gpu_load, plan.node_load):
        assert np.allclose(loads.sum(axis=1), plan.load.sum(axis=1))
    assert (plan.gpu_load.max(axis=1) >= plan.lower_bound * (1 - 1e-6)).all()
    assert ((plan.balancedness > 0) & (plan.balancedness <= plan.attainable * (1 + 1e-6))).all()
    if sizes.parts > 1:
        assert groups_are_together(plan)


def groups_are_together(plan: Plan) -> bool:
    """Is every group's every replica on one node, and does every node have as many groups?"""
    sizes = plan.sizes
    of_node = plan.physical_to_logical.reshape(len(plan.load), sizes.nodes, -1) // (sizes.experts // sizes.groups)
    for layer in of_node:
        found = [set(node.tolist()) for node in layer]
        if sum(map(len, found)) != sizes.groups or {len(node) for node in found} != {sizes.groups // sizes.nodes}:
            return False
    return True


def doubled(plan: Plan) -> np.ndarray:
    """[layers]: how many slots hold an expert that another slot of the GPU holds."""
    held = np.sort(plan.physical_to_logical.reshape(len(plan.load), plan.sizes.gpus, -1), axis=2)
    return (held[:, :, 1:] == held[:, :, :-1]).sum(axis=(1, 2))


def optimum(load: np.ndarray, replicas: int, gpus: int) -> float:
    """The lowest load that the busiest GPU can have, by trying all placements, doubles included."""
    experts, slots, best = len(load), replicas // gpus, np.inf
    for count in _compositions(replicas, experts):
        share = load / count
        if share.max() < best:
            best = min(best, _fill(tuple(share), count, slots))
    return float(best)


def _compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
    for cuts in combinations(range(1, total), parts - 1):
        edges = (0, *cuts, total)
        yield tuple(b - a for a, b in zip(edges, edges[1:], strict=False))


def _fill(share: tuple[float, ...], count: tuple[int, ...], slots: int) -> float:
    """The heaviest replica that is left opens the next GPU; what may lie beside it is tried in all ways."""

    @cache
    def best(left: tuple[int, ...]) -> float:
        there = [expert for expert, replicas in enumerate(left) if replicas]
        if not there:
            return 0.0
        first = max(there, key=lambda expert: share[expert])
        found = np.inf
        for others in combinations_with_replacement(there, slots - 1):
            rest = list(left)
            for expert in (first, *others):
                rest[expert] -= 1
            if min(rest) >= 0:
                here = share[first] + sum(share[expert] for expert in others)
                found = min(found, max(here, best(tuple(rest))))
        return found

    return best(count)
