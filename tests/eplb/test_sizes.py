"""What is refused, and what is said to be right instead."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pipelab.eplb import contiguous, lognormal, rebalance, rebalance_experts
from pipelab.eplb.sizes import Sizes

LOAD = lognormal(2, 24, seed=0)


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ((30, 8), "replicas must be a multiple of gpus (8): 24 or 32; got 30"),
        ((27, 26), "replicas must be a multiple of gpus (26): 26 or 52; got 27"),
        ((25, 10), "replicas must be a multiple of gpus (10): 30; got 25"),  # 20 would be fewer than the experts
        ((20, 4), "replicas must be 24 or more"),
        ((22, 10), "replicas must be 30 or more: each of 24 experts needs a replica, and each of 10 GPUs"),
        ((24, 8, 3), "gpus must be a multiple of nodes (3): 6 or 9; got 8"),
        ((24, 2, 3), "gpus must be a multiple of nodes (3): 3; got 2"),
        ((24, 4, 2, 10), "experts (24) must divide into equal groups: groups 8 or 12; got 10"),
        ((24, 4, 2, 48), "experts (24) must divide into equal groups: groups 24; got 48"),
        ((0, 4), "replicas must be at least 1; got 0"),
        ((24, -4), "gpus must be at least 1; got -4"),
        ((24, 4, 0), "nodes must be at least 1; got 0"),
        ((24, 4, 1, 1.5), "groups must be a whole number; got 1.5"),
        ((24, 4, 1, float("nan")), "groups must be a whole number; got nan"),
        ((24, "4"), "gpus must be a whole number; got '4'"),
        ((True, 4), "replicas must be a whole number; got True"),
    ],
)
def test_sizes(sizes: tuple, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        rebalance(LOAD, *sizes)


def test_sizes_as_numpy_gives_them() -> None:
    plan = rebalance(LOAD, np.int32(32), np.float64(8))
    assert plan.sizes == Sizes(2, 24, 32, 8) and type(plan.sizes.gpus) is int
    assert contiguous(LOAD, gpus=np.int32(7)).sizes == Sizes(2, 24, 28, 7)


class TestPublished:
    """rebalance_experts takes what the published function takes."""

    def test_nodes_that_do_not_divide_groups_are_ignored(self) -> None:
        for mine, its in zip(rebalance_experts(LOAD, 28, 3, 2, 7), rebalance_experts(LOAD, 28, 1, 1, 7), strict=True):
            assert np.array_equal(mine, its)  # even where they do not divide GPUs

    @pytest.mark.parametrize(
        ("sizes", "says"),
        [
            ((28, 8, 4, 8), "replicas must be a multiple of gpus (8): 24 or 32; got 28"),
            ((32, 10, 2, 8), "groups 8 or 12; got 10"),
            ((32, 4, 0, 8), "nodes must be at least 1; got 0"),
            ((32, 4, 4, 2), "gpus must be a multiple of nodes (4): 4; got 2"),
        ],
    )
    def test_bad_sizes(self, sizes: tuple[int, int, int, int], says: str) -> None:
        with pytest.raises(ValueError, match=re.escape(says)):
            rebalance_experts(LOAD, *sizes)


def maps(load: object) -> tuple:
    plan = rebalance(load, 32, 8)
    return plan.physical_to_logical, plan.logical_to_physical, plan.replica_count


@pytest.mark.parametrize("function", [maps, lambda load: rebalance_experts(load, 32, 8, 4, 8)])
class TestLoad:
    @pytest.mark.parametrize(
        ("value", "says"),
        [(-1, "layer 1, expert 3 has -1.0"), (np.nan, "expert 3 has nan"), (np.inf, "has inf"), (-np.inf, "has -inf")],
    )
    def test_numbers_that_are_no_loads(self, function, value: float, says: str) -> None:
        load = LOAD.copy()
        load[1, 3] = value
        with pytest.raises(ValueError, match=f"must be finite and not negative; .*{says}"):
            function(load)

    @pytest.mark.parametrize(
        ("load", "says"),
        [
            (LOAD[0], r"must have two axes, \[layers, experts\]; one layer is load\[None, :\]; got shape \(24,\)"),
            (LOAD[None], r"must have two axes, \[layers, experts\]; got shape \(1, 2, 24\)"),
            (3.0, "must have two axes"),
            (np.zeros((3, 0)), r"load has no experts; its shape \[layers, experts\] is \(3, 0\)"),
            ([[1, 2], [3]], "load must be numbers"),
            ([["1", "x"]], "load must be numbers"),
            ([[1, None]], "layer 0, expert 1 has nan"),
            (LOAD + 0j, "load must be numbers"),
            (None, "must have two axes"),
            (np.full((1, 24), 1e308), "load of layer 0 adds up to more than a float can hold"),
        ],
    )
    def test_what_is_no_load(self, function, load: object, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            function(load)

    def test_minus_zero_is_zero(self, function) -> None:
        load = LOAD.copy()
        load[0, 1::2] = -0.0
        placed, expected = (function(each)[0].tolist() for each in (load, np.abs(load)))
        assert placed == expected


@given(*[st.integers(1, 40)] * 5)
def test_what_is_named_right_is_right(experts: int, replicas: int, gpus: int, nodes: int, groups: int) -> None:
    """Every number that a message offers leads on: with it, that complaint is gone."""
    names = ["experts", "replicas", "gpus", "nodes", "groups"]
    values = dict(zip(names, (experts, replicas, gpus, nodes, groups), strict=True))
    for _ in range(5):
        try:
            Sizes(1, **values)
            return
        except ValueError as error:
            message = str(error)
        found = re.match(r"(\w+) must be (?:a multiple of .*?: )?(\d+)", message)
        if found:
            assert values[found[1]] != int(found[2])
            values[found[1]] = int(found[2])
        else:
            values["groups"] = int(re.search(r"groups (\d+)", message)[1])  # type: ignore[index]
    raise AssertionError(message)
