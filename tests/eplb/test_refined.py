"""The refined policy: never two replicas on one GPU where that can be avoided, and better balanced."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings

from pipelab.eplb import Plan, lognormal, one_hot, rebalance, zipf
from pipelab.eplb.sizes import Sizes
from pipelab.eplb.solver.exhaustive import best_of_all, few_enough
from pipelab.eplb.solver.packing import Packing
from pipelab.eplb.solver.swaps import part_doubles

from .strategies import arguments, check, doubled, optimum, sizes_and_load


@given(sizes_and_load())
@settings(max_examples=200)
def test_plans_are_valid(given_: tuple[Sizes, np.ndarray]) -> None:
    sizes, load = given_
    plan, greedy = (rebalance(load, *arguments(sizes), policy=policy) for policy in ("refined", "greedy"))
    check(plan)
    if sizes.slots <= sizes.experts // sizes.parts:  # else a GPU has more slots than there are experts for it
        assert not doubled(plan).any()
        assert plan.replica_count.max() <= sizes.gpus // sizes.parts
    fair = doubled(greedy) == 0  # two replicas on one GPU may balance better than any placement without
    assert (plan.gpu_load.max(axis=1)[fair] <= greedy.gpu_load.max(axis=1)[fair] * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("name", "load", "sizes", "least"),
    [
        ("hierarchical", lognormal(58, 256, seed=0), (288, 32, 4, 8), None),
        ("global", lognormal(58, 256, seed=0), (288, 32), 0.997),
        ("two slots", lognormal(20, 256, seed=0), (320, 160), None),
        ("two slots, few replicas", lognormal(20, 256, seed=0), (288, 144), None),
        ("larger", lognormal(20, 384, seed=0), (448, 64), 0.997),
        ("heavy tail", zipf(20, 256, exponent=1.5, seed=0), (288, 32), 0.96),
        ("heavier tail", zipf(20, 256, exponent=2, seed=0), (288, 32), 0.96),
        ("one-hot", one_hot(20, 256, seed=0), (288, 32), 1),
        ("one-hot, two slots", one_hot(20, 256, seed=0), (320, 160), 0.4),
    ],
)
def test_balance(name: str, load: np.ndarray, sizes: tuple[int, ...], least: float | None) -> None:
    plan, greedy = (rebalance(load, *sizes, policy=policy) for policy in ("refined", "greedy"))
    check(plan)
    assert not doubled(plan).any()
    gain = plan.balancedness.mean() - greedy.balancedness.mean()
    assert gain >= {"hierarchical": 0.002, "two slots": 0.005}.get(name, 0)
    if least is not None:
        assert plan.balancedness.mean() >= least - 1e-9
    if name != "two slots":  # there the greedy gains a little, now and then, by what the refined may not do: doubles
        assert (plan.balancedness >= greedy.balancedness - 1e-6).all()


def test_counts_and_packing_are_chosen_together() -> None:
    """The greedy's counts can't be packed well, however they are packed: see what the refined does about it."""
    load = zipf(4, 256, exponent=1.5, seed=0)
    plan, greedy = (rebalance(load, 288, 32, policy=policy) for policy in ("refined", "greedy"))
    assert greedy.balancedness.max() < 0.86 and plan.balancedness.min() > 0.99
    assert (plan.replica_count.max(axis=1) < greedy.replica_count.max(axis=1)).all()


class TestTiny:
    """At most six experts: against all placements, those with two replicas on one GPU included."""

    SIZES = [(3, 4, 2), (4, 6, 2), (4, 6, 3), (4, 8, 4), (5, 6, 3), (5, 8, 2), (5, 8, 4), (6, 8, 2), (6, 8, 4)]

    def test_near_the_optimum(self) -> None:
        random = np.random.default_rng(0)
        ratios = []
        for experts, replicas, gpus in self.SIZES:
            loads = np.concatenate(
                [
                    lognormal(4, experts, seed=0),
                    lognormal(4, experts, sigma=2, seed=1),
                    zipf(4, experts, exponent=1.5, seed=2),
                    random.integers(0, 20, (4, experts)),
                ]
            )
            found = rebalance(loads, replicas, gpus, policy="refined").gpu_load.max(axis=1)
            best = np.array([optimum(load, replicas, gpus) for load in loads])
            assert (found >= best * (1 - 1e-9)).all()
            ratios += (found / best).tolist()
        assert np.mean(np.array(ratios) <= 1.05) >= 0.9

    def test_best_of_all_without_doubles(self) -> None:
        assert few_enough(5, 4, 2) and not few_enough(64, 8, 9) and not few_enough(3, 2, 4)
        load = lognormal(6, 5, seed=0)
        packing = Packing(load, np.ones((6, 5), dtype=int), np.zeros((6, 4, 2), dtype=int))
        best_of_all(packing)
        pairs = np.array(list(combinations(range(5), 2)))
        for row, lowest in zip(load, packing.highest, strict=True):
            highest = [
                max(sum(row[e] / chosen.ravel().tolist().count(e) for e in pair) for pair in chosen)
                for chosen in (pairs[list(each)] for each in np.ndindex(10, 10, 10, 10) if list(each) == sorted(each))
                if set(chosen.ravel()) == set(range(5))
            ]
            assert lowest == pytest.approx(min(highest))


@pytest.mark.parametrize(("groups", "nodes"), [(8, 4), (8, 2), (9, 3), (12, 4), (16, 2)])
def test_groups_are_within_two_percent_of_the_best(groups: int, nodes: int) -> None:
    """The busiest node, against all ways to deal equally many groups to each."""
    load = np.concatenate([lognormal(12, groups * 4, sigma=sigma, seed=0) for sigma in (0.5, 1, 2)])
    plan = rebalance(load, groups * 4 + nodes, nodes, nodes, groups, policy="refined")
    of_group = load.reshape(len(load), groups, 4).sum(axis=2)
    sets = np.array(list(combinations(range(groups), groups // nodes)))
    weight = of_group[:, sets].sum(axis=2)
    masks = [sum(1 << int(group) for group in each) for each in sets]

    best = np.full(len(load), np.inf)
    first = [[i for i, mask in enumerate(masks) if mask & -mask == 1 << group] for group in range(groups)]

    def deal(used: int, highest: np.ndarray) -> None:
        nonlocal best
        if used == (1 << groups) - 1:
            best = np.minimum(best, highest)
            return
        free = next(group for group in range(groups) if not used >> group & 1)
        for i in first[free]:
            if not masks[i] & used:
                deal(used | masks[i], np.maximum(highest, weight[:, i]))

    deal(0, np.zeros(len(load)))
    assert (plan.node_load.max(axis=1) <= 1.02 * best).all()
    assert (plan.node_load.max(axis=1) >= best * (1 - 1e-9)).all()


class TestDoubles:
    @pytest.mark.parametrize("policy", ["greedy", "refined"])
    def test_equal_loads_as_published_double(self, policy: str) -> None:
        """Six experts of equal load as eight replicas: the greedy puts two replicas of one expert on one GPU."""
        plans = [rebalance(np.full((1, experts), 5), experts + 4, 4, policy=policy) for experts in range(4, 24, 4)]
        assert any(doubled(plan)[0] for plan in plans) == (policy == "greedy")

    def test_parting_ends_and_keeps_the_counts(self) -> None:
        """From the worst start, GPUs full of one expert's replicas."""
        random = np.random.default_rng(0)
        for gpus, room in [(4, 4), (3, 2), (8, 3), (2, 2), (5, 5)]:
            slots = np.repeat(np.arange(room * gpus) // gpus, 1).reshape(1, gpus, room)
            slots = np.concatenate([slots, random.permuted(slots.reshape(1, -1), axis=1).reshape(slots.shape)])
            count = np.stack([np.bincount(row.ravel(), minlength=room) for row in slots])
            packing = Packing(random.random((2, room)), count, slots.copy())
            part_doubles(packing)
            assert not packing.doubled.any()
            assert np.array_equal(np.sort(packing.flat, axis=1), np.sort(slots.reshape(2, -1), axis=1))

    def test_more_slots_than_experts(self) -> None:
        """Doubles can't be avoided: every GPU has some."""
        plan = rebalance([[5, 3]], 12, 3, policy="refined")
        check(plan)
        assert isinstance(plan, Plan) and doubled(plan)[0] == 6
