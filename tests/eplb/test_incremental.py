"""The incremental policy: few slots change, and the balance is nearly that of a plan made anew."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pipelab.eplb import Plan, drifting, lognormal, one_hot, rebalance
from pipelab.eplb.sizes import Sizes

from .strategies import arguments, check, doubled, sizes_and_load


@given(sizes_and_load(), st.sampled_from(["greedy", "refined"]), st.floats(0, 1), st.integers(0, 99))
def test_plans_are_valid(given_: tuple[Sizes, np.ndarray], policy: str, max_moved: float, seed: int) -> None:
    sizes, load = given_
    previous = rebalance(load, *arguments(sizes), policy=policy)
    now = np.random.default_rng(seed).permuted(load, axis=1)
    plan = rebalance(now, *arguments(sizes), policy="incremental", previous=previous, max_moved=max_moved)
    check(plan)
    assert (plan.moves(previous) <= max_moved * sizes.replicas).all()
    assert (plan.gpu_load.max(axis=1) <= previous.under(now).gpu_load.max(axis=1) * (1 + 1e-9)).all()
    assert (doubled(plan) <= doubled(previous)).all()


@pytest.mark.parametrize("correlation", [0.9, 0.95, 0.98, 0.999])
def test_nearly_as_good_as_anew_in_the_next_window(correlation: float) -> None:
    """At least 98% of the balance of plans made anew, which move nearly all slots, for at most a tenth of them."""
    loads = drifting(8, 20, 256, correlation=correlation, seed=0)
    plan = anew = rebalance(loads[0], 288, 32, policy="refined")
    kept, fresh, moved, moved_anew = [], [], [], []
    for now, following in zip(loads[1:-1], loads[2:], strict=True):
        previous, plan = plan, rebalance(now, 288, 32, policy="incremental", previous=plan)
        previous_anew, anew = anew, rebalance(now, 288, 32)
        kept.append(plan.under(following).balancedness.mean())
        fresh.append(anew.under(following).balancedness.mean())
        moved.append(plan.moved(previous))
        moved_anew.append(anew.moved(previous_anew))
    assert np.mean(kept) >= 0.98 * np.mean(fresh)
    assert max(moved) <= 0.1
    assert min(moved_anew) > 0.8


def test_nothing_moves_without_need() -> None:
    load = lognormal(4, 64, seed=0)
    plan = rebalance(load, 80, 8, policy="refined")
    assert rebalance(load, 80, 8, policy="incremental", previous=plan).moves(plan).tolist() == [0] * 4
    same = rebalance(np.zeros((4, 64)), 80, 8, policy="incremental", previous=plan)
    assert np.array_equal(same.physical_to_logical, plan.physical_to_logical)


def test_a_new_hot_expert_gets_replicas_from_the_old_one() -> None:
    hot = one_hot(1, 32, seed=0)
    plan = rebalance(hot, 40, 8, policy="refined")
    now = np.roll(hot, 1, axis=1)
    assert plan.under(now).balancedness[0] == pytest.approx(1 / 8)
    after = rebalance(now, 40, 8, policy="incremental", previous=plan, max_moved=0.2)
    assert after.balancedness[0] == pytest.approx(1)
    assert after.moves(plan)[0] == 7


def test_experts_that_stay_keep_their_slots() -> None:
    loads = drifting(2, 6, 64, correlation=0.9, seed=0)
    plan = rebalance(loads[0], 80, 8, policy="refined")
    after = rebalance(loads[1], 80, 8, policy="incremental", previous=plan)
    changed = (after.physical_to_logical != plan.physical_to_logical).sum(axis=1)
    assert changed.tolist() == after.moves(plan).tolist()
    assert 0 < changed.max() <= 8


def test_groups_stay_on_their_nodes() -> None:
    loads = drifting(2, 6, 64, correlation=0.9, seed=0)
    plan = rebalance(loads[0], 80, 8, 2, 8, policy="refined")
    after = rebalance(loads[1], 80, 8, 2, 8, policy="incremental", previous=plan)
    check(after)
    assert after.moves(plan).any()
    assert not after.moves(plan, across_nodes=True).any()


def test_a_plan_by_hand_can_be_started_from() -> None:
    plan = Plan.from_map([[0, 1, 2, 3, 0, 1]], [[1, 1, 4, 4]], gpus=3)
    after = rebalance([[1, 1, 4, 4]], 6, 3, policy="incremental", previous=plan, max_moved=0.5)
    assert after.gpu_load.max() < plan.gpu_load.max()


class TestBadPrevious:
    load = lognormal(2, 16, seed=0)

    @pytest.mark.parametrize(
        ("shape", "sizes", "says"),
        [
            ((3, 16), (24, 4), "the previous plan has 3 layers, not 2"),
            ((2, 12), (24, 4), "the previous plan has 12 experts, not 16"),
            ((2, 16), (20, 4), "the previous plan has 20 replicas, not 24"),
            ((2, 16), (24, 8), "the previous plan has 8 gpus, not 4"),
            ((2, 16), (24, 4, 2), "the previous plan has 2 nodes, not 1"),
        ],
    )
    def test_other_sizes(self, shape: tuple[int, int], sizes: tuple[int, ...], says: str) -> None:
        previous = rebalance(lognormal(*shape, seed=0), *sizes)
        with pytest.raises(ValueError, match=says):
            rebalance(self.load, 24, 4, policy="incremental", previous=previous)

    def test_groups_on_several_nodes(self) -> None:
        previous = rebalance(self.load, 24, 4, 2)
        with pytest.raises(ValueError, match=r"group \d of layer \d on nodes 0, 1"):
            rebalance(self.load, 24, 4, 2, 4, policy="incremental", previous=previous)

    def test_missing_or_unasked_for(self) -> None:
        with pytest.raises(ValueError, match="'incremental' needs the previous plan"):
            rebalance(self.load, 24, 4, policy="incremental")
        with pytest.raises(ValueError, match=r"'refined' starts afresh.*Plan\.moves"):
            rebalance(self.load, 24, 4, policy="refined", previous=rebalance(self.load, 24, 4))
        with pytest.raises(ValueError, match="previous is a Plan, .*got list"):
            rebalance(self.load, 24, 4, policy="incremental", previous=[[0, 1]])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="policy must be one of greedy, refined, incremental; got 'best'"):
            rebalance(self.load, 24, 4, policy="best")
        with pytest.raises(ValueError, match="max_moved is a share"):
            rebalance(self.load, 24, 4, policy="incremental", previous=rebalance(self.load, 24, 4), max_moved=-1)
