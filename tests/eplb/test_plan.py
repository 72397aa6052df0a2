"""Plan: its figures, its bound, what moves, its text, and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given

from pipelab.eplb import Plan, lognormal, one_hot, rebalance, zipf
from pipelab.eplb.sizes import Sizes
from pipelab.eplb.solver.bound import lower_bound, nodes_bound

from .strategies import arguments, check, optimum, sizes_and_load

#: Two nodes of two GPUs with two slots: expert 0 on three GPUs, 1 to 5 on one each.
PLACED, LOAD = [[0, 1, 0, 2, 0, 3, 4, 5]], [[9, 1, 2, 3, 4, 5]]


@pytest.fixture
def plan() -> Plan:
    return Plan.from_map(PLACED, LOAD, gpus=4, nodes=2)


def test_figures(plan: Plan) -> None:
    check(plan)
    assert plan.slot_load.tolist() == [[3, 1, 3, 2, 3, 3, 4, 5]]
    assert plan.gpu_load.tolist() == [[4, 5, 6, 9]]
    assert plan.node_load.tolist() == [[9, 15]]
    assert plan.balancedness.tolist() == [6 / 9]
    assert plan.replica_count.tolist() == [[3, 1, 1, 1, 1, 1]]
    assert plan.logical_to_physical[0, 0].tolist() == [0, 2, 4]
    assert plan.logical_to_physical[0, 1:].tolist() == [[slot, -1, -1] for slot in (1, 3, 5, 6, 7)]
    assert plan.lower_bound.tolist() == [6] and plan.attainable.tolist() == [1]


def test_under_other_loads(plan: Plan) -> None:
    other = plan.under([[0, 0, 0, 0, 0, 8]])
    assert other.gpu_load.tolist() == [[0, 0, 0, 8]]
    assert other.physical_to_logical is plan.physical_to_logical
    assert plan.gpu_load.tolist() == [[4, 5, 6, 9]]
    with pytest.raises(ValueError, match=r"for loads of shape \(1, 6\), \[layers, experts\]; got \(1, 5\)"):
        plan.under([[1, 2, 3, 4, 5]])
    assert plan.under(np.zeros((1, 6))).balancedness.tolist() == [1]


def test_moves(plan: Plan) -> None:
    # On GPU 0, 1 gives way to 3 (of the other node) and 0 to 2 (of its own); GPU 1's two slots change places.
    other = Plan.from_map([[2, 3, 2, 0, 0, 1, 4, 5]], LOAD, gpus=4, nodes=2)
    assert other.moves(plan).tolist() == [3]
    assert other.moves(plan, across_nodes=True).tolist() == [2]
    assert other.moved(plan) == 3 / 8
    assert other.bytes_moved(plan, 1000) == 3000
    assert other.bytes_moved(plan, 1000, across_nodes=True) == 2000
    assert plan.moves(plan).tolist() == [0]
    with pytest.raises(ValueError, match="the previous plan has 2 gpus, not 4, 1 nodes, not 2"):
        other.moves(Plan.from_map(PLACED, LOAD, gpus=2))


class TestFromMap:
    @pytest.mark.parametrize(
        ("placed", "says"),
        [
            ([[0, 1, 2, 3, 4, 6, 0, 0]], "experts are 0 to 5; physical_to_logical has 6"),
            ([[0, 1, 2, 3, 4, 5, -1, 0]], "experts are 0 to 5; physical_to_logical has -1"),
            ([[0, 1, 2, 3, 4, 4, 0, 0]], "expert 5 of layer 0 has none"),
            ([[0, 1, 2, 3, 4, 5]], "replicas must be a multiple of gpus"),
            ([0, 1, 2, 3, 4, 5, 0, 0], r"must be whole numbers, \[layers, replicas\].* got int64 of shape \(8,\)"),
            ([[0.5] * 8], "must be whole numbers, .* got float64"),
            (PLACED * 2, "for 1 layers"),
        ],
    )
    def test_bad_maps(self, placed: list, says: str) -> None:
        with pytest.raises(ValueError, match=says):
            Plan.from_map(placed, LOAD, gpus=4)

    @given(sizes_and_load())
    def test_judges_any_placement(self, given_: tuple[Sizes, np.ndarray]) -> None:
        sizes, load = given_
        plan = rebalance(load, *arguments(sizes), policy="refined")
        again = Plan.from_map(plan.physical_to_logical, load, sizes.gpus, sizes.nodes, sizes.groups)
        check(again)
        assert np.array_equal(again.logical_to_physical, plan.logical_to_physical)
        assert np.array_equal(again.gpu_load, plan.gpu_load)


class TestBound:
    def test_no_placement_is_below_it(self) -> None:
        for experts, replicas, gpus in [(4, 6, 2), (4, 6, 3), (5, 8, 4), (6, 8, 2), (3, 9, 3)]:
            loads = [lognormal(4, experts, seed=0), one_hot(2, experts, seed=1), zipf(4, experts, exponent=2, seed=2)]
            loads = np.concatenate(loads)
            best = np.array([optimum(load, replicas, gpus) for load in loads])
            bound = lower_bound(loads, Sizes(len(loads), experts, replicas, gpus))
            assert (bound <= best * (1 + 1e-6)).all()
            assert np.median(bound / best) > 0.9

    def test_more_replicas_than_gpus_do_not_help(self) -> None:
        assert lower_bound(np.array([[8.0, 0, 0, 0]]), Sizes(1, 4, 16, 4)).tolist() == [2]
        assert lower_bound(np.array([[8.0, 0, 0, 0]]), Sizes(1, 4, 16, 4, 2, 2)).tolist() == [4]

    def test_nodes(self) -> None:
        """Groups of one expert. Two to a node: exact. Else what the pigeonhole says."""
        load = np.array([[9.0, 8, 4, 3, 2, 1]])
        assert nodes_bound(load, Sizes(1, 6, 6, 3, 3, 6)).tolist() == [10]
        assert nodes_bound(load, Sizes(1, 6, 6, 2, 2, 6)).tolist() == [13.5]
        assert nodes_bound(np.array([[5.0, 5, 5, 0, 0, 0]]), Sizes(1, 6, 6, 2, 2, 6)).tolist() == [10]


class TestJson:
    @given(sizes_and_load())
    def test_there_and_back(self, given_: tuple[Sizes, np.ndarray]) -> None:
        sizes, load = given_
        plan = rebalance(load, *arguments(sizes), policy="refined")
        again = Plan.from_json(plan.to_json())
        assert again.sizes == sizes and again.policy == "refined"
        for name in ("physical_to_logical", "logical_to_physical", "replica_count", "load"):
            assert np.array_equal(getattr(again, name), getattr(plan, name))

    def test_no_layers(self) -> None:
        plan = Plan.from_json(rebalance(np.zeros((0, 4)), 4, 2).to_json())
        assert plan.sizes.layers == 0 and plan.sizes.replicas == 4

    def test_slots_by_expert(self, plan: Plan) -> None:
        assert json.loads(plan.to_json())["logical_to_physical"] == [[[0, 2, 4], [1], [3], [5], [6], [7]]]

    @pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"physical_to_logical": [[0]]}', '{"load": "x"}'])
    def test_what_is_no_plan(self, text: str) -> None:
        with pytest.raises(ValueError, match="no plan in JSON"):
            Plan.from_json(text)


class TestText:
    def test_table(self, plan: Plan) -> None:
        assert repr(plan) == "<Plan given: 1 layers, 6 experts as 8 replicas, 2 on each of 4 GPUs of 2 nodes>"
        assert str(plan).splitlines() == [
            "given: 1 layers, 6 experts as 8 replicas, 2 on each of 4 GPUs of 2 nodes",
            "layer  balancedness  attainable  busiest GPU  its load  mean  most replicas",
            "    0        0.6667      1.0000            3         9     6              3",
        ]

    def test_of_many_layers_those_that_are_balanced_the_worst(self) -> None:
        plan = rebalance(lognormal(30, 32, seed=0), 40, 8)
        lines = str(plan).splitlines()
        shown = [int(line.split()[0]) for line in lines[2:-2]]
        assert sorted(shown) == shown and set(shown) == set(np.argsort(plan.balancedness)[:8].tolist())
        assert lines[-2].split() == ["all", f"{plan.balancedness.mean():.4f}", f"{plan.attainable.mean():.4f}"]
        assert "of all 30" in lines[-1]

    def test_figures_of_the_table_are_numbers(self, plan: Plan) -> None:
        assert plan.table[0] == (0, 6 / 9, 1.0, 3, 9.0, 6.0, 3)
        assert "<caption" in plan._repr_html_() and "6 experts as 8 replicas" in plan._repr_html_()
