"""The greedy policy: the published algorithm, in loops and fast."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from pipelab.eplb import lognormal, one_hot, rebalance, rebalance_experts, reference, zipf
from pipelab.eplb.sizes import Sizes
from pipelab.eplb.solver.greedy import pack, replicate

from .strategies import arguments, check, published_arguments, sizes_and_load

ROOT = Path(__file__).parents[2]

#: The example in the README of deepseek-ai/EPLB: 4 groups on 2 nodes, 16 replicas on 8 GPUs.
EXAMPLE = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
EXAMPLE_PLACED = [
    [5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1],
    [7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1],
]


@pytest.mark.parametrize("function", [rebalance_experts, reference.rebalance_experts])
def test_the_published_example(function) -> None:
    placed, slots, count = function(EXAMPLE, 16, 4, 2, 8)
    assert placed.tolist() == EXAMPLE_PLACED
    assert count.tolist() == [[placed.count(expert) for expert in range(12)] for placed in EXAMPLE_PLACED]
    assert slots.shape == (2, 12, 2)
    assert slots[0, 5].tolist() == [0, 2] and slots[0, 0].tolist() == [12, -1]
    assert [each.dtype for each in (placed, slots, count)] == [np.int64] * 3


@given(sizes_and_load())
@settings(max_examples=200)
def test_equal_to_the_loops(given_: tuple[Sizes, np.ndarray]) -> None:
    """All three maps, so that it is never worse either, on any layer."""
    sizes, load = given_
    fast = rebalance_experts(load, *published_arguments(sizes))
    loops = reference.rebalance_experts(load, *published_arguments(sizes))
    for mine, its in zip(fast, loops, strict=True):
        assert np.array_equal(mine, its)


@pytest.mark.parametrize(
    ("load", "sizes"),
    [
        (lognormal(3, 256, seed=0), (288, 8, 4, 32)),
        (lognormal(3, 256, seed=1, tokens=10**6), (288, 1, 1, 32)),
        (lognormal(3, 256, sigma=2, seed=2), (320, 1, 1, 160)),
        (zipf(3, 256, exponent=1.5, seed=3, tokens=10**5), (288, 1, 1, 144)),
        (zipf(3, 96, exponent=1.1, seed=4), (128, 12, 4, 16)),
        (one_hot(3, 64, seed=5), (96, 8, 2, 16)),
        (lognormal(3, 64, seed=6, tokens=200), (64, 1, 1, 64)),
    ],
)
def test_equal_to_the_loops_at_real_sizes(load: np.ndarray, sizes: tuple[int, int, int, int]) -> None:
    for mine, its in zip(rebalance_experts(load, *sizes), reference.rebalance_experts(load, *sizes), strict=True):
        assert np.array_equal(mine, its)


@given(sizes_and_load())
def test_plans_are_valid(given_: tuple[Sizes, np.ndarray]) -> None:
    sizes, load = given_
    plan = rebalance(load, *arguments(sizes))
    check(plan)
    drop_in = rebalance_experts(load, *published_arguments(sizes))
    for mine, its in zip(
        (plan.physical_to_logical, plan.logical_to_physical, plan.replica_count), drop_in, strict=True
    ):
        assert np.array_equal(mine, its)


def test_replicate_makes_the_heaviest_replica_as_light_as_it_can_be() -> None:
    """No other counts would do better: against all counts of four experts."""
    random = np.random.default_rng(0)
    for load in random.integers(1, 50, (20, 4)).astype(np.float32):
        _, _, count = replicate(load[None], 9)
        others = np.array([c for c in np.ndindex(7, 7, 7, 7) if sum(c) == 9 and min(c) > 0])
        assert (load / count).max() == pytest.approx((load / others).max(axis=1).min())


def test_replicate_with_a_cap() -> None:
    expert, rank, count = replicate(np.array([[100, 1, 2, 3]], dtype=np.float32), 10, most=3)
    assert count.tolist() == [[3, 2, 2, 3]]
    assert sorted(zip(expert[0].tolist(), rank[0].tolist(), strict=True)) == sorted(
        (e, r) for e, replicas in enumerate(count[0]) for r in range(replicas)
    )


def test_loops_take_any_numbers() -> None:
    loads = [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]
    sizes = (16, 4, 2, 8)
    exact = reference.finish(reference.hierarchical_steps([Fraction(load) for load in loads], *sizes))
    assert exact == reference.finish(reference.hierarchical_steps(loads, *sizes))
    assert exact[0] == EXAMPLE_PLACED[0]


def test_packs_of_equal_items_fill_evenly() -> None:
    assert pack(np.ones((1, 12), dtype=np.float32), 4).tolist() == [[0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]]


class TestDegenerate:
    def test_a_layer_without_load_is_spread_evenly(self) -> None:
        """As published, expert 0 would get all replicas."""
        plan = rebalance(np.zeros((2, 8)), 12, 4)
        check(plan)
        assert plan.replica_count.max() == 2
        assert plan.balancedness.tolist() == [1, 1]

    def test_a_node_without_load_is_spread_evenly(self) -> None:
        plan = rebalance([[5, 3, 2, 7, 0, 0, 0, 0]], 16, 4, nodes=2, groups=2)
        check(plan)
        assert plan.replica_count[0, 4:].tolist() == [2, 2, 2, 2]

    def test_equal_loads(self) -> None:
        plan = rebalance(np.full((2, 16), 7), 24, 8)
        check(plan)
        assert plan.replica_count.max() == 2
        assert plan.balancedness.tolist() == [1, 1]

    @pytest.mark.parametrize("policy", ["greedy", "refined"])
    def test_one_hot(self, policy: str) -> None:
        plan = rebalance(one_hot(2, 16, seed=0), 24, 8, policy=policy)
        check(plan)
        assert plan.replica_count.max() == (9 if policy == "greedy" else 8)

    def test_no_layers(self) -> None:
        for policy in ("greedy", "refined"):
            plan = rebalance(np.zeros((0, 8)), 12, 4, policy=policy)
            check(plan)
            assert plan.balancedness.shape == plan.lower_bound.shape == (0,)
        placed, slots, count = rebalance_experts(np.zeros((0, 8)), 12, 4, 2, 4)
        assert (placed.shape, slots.shape, count.shape) == ((0, 12), (0, 8, 1), (0, 8))

    def test_as_many_replicas_as_experts(self) -> None:
        assert (rebalance(lognormal(2, 16, seed=0), 16, 4).replica_count == 1).all()

    def test_one_gpu_and_one_expert(self) -> None:
        check(rebalance([[3]], 4, 1, policy="refined"))
        check(rebalance([[3]], 4, 4, policy="refined"))

    def test_loads_as_large_and_as_small_as_floats_go(self) -> None:
        load = lognormal(4, 32, seed=0)
        for factor in (2.0**-1000, 2.0**1000):
            assert np.array_equal(
                rebalance(load * factor, 40, 8).physical_to_logical, rebalance(load, 40, 8).physical_to_logical
            )


class TestInput:
    """Whatever holds the loads, the plan is the same, and they are not changed."""

    load = lognormal(3, 32, seed=0, tokens=2**12)

    @pytest.mark.parametrize("policy", ["greedy", "refined"])
    @pytest.mark.parametrize(
        "kind", ["list", "fortran", "strided", "read-only", "float16", "int64", "uint16", "object"]
    )
    def test_kinds_of_arrays(self, kind: str, policy: str) -> None:
        made = {
            "list": lambda load: load.tolist(),
            "fortran": np.asfortranarray,
            "strided": lambda load: np.repeat(load, 2, axis=1)[:, ::2],
            "object": lambda load: load.astype(object),
        }
        load = made[kind](self.load) if kind in made else self.load.astype("float64" if kind == "read-only" else kind)
        if kind == "read-only":
            load.flags.writeable = False
        before = np.array(load, copy=True)
        plan = rebalance(load, 40, 8, policy=policy)
        expected = rebalance(before.astype(float), 40, 8, policy=policy)
        assert np.array_equal(plan.physical_to_logical, expected.physical_to_logical)
        assert np.array_equal(np.array(load), before)

    def test_torch_tensors(self) -> None:
        torch = pytest.importorskip("torch")
        expected = rebalance_experts(self.load, 40, 4, 2, 8)
        for tensor in (
            torch.tensor(self.load),
            torch.tensor(self.load, dtype=torch.float32, requires_grad=True),
            torch.tensor(self.load.T.copy()).T,
        ):
            for mine, its in zip(rebalance_experts(tensor, 40, 4, 2, 8), expected, strict=True):
                assert isinstance(mine, np.ndarray) and np.array_equal(mine, its)
        coarse = torch.tensor(self.load, dtype=torch.bfloat16)  # numpy has no such type
        assert np.array_equal(
            rebalance(coarse, 40, 8).physical_to_logical, rebalance(coarse.float().numpy(), 40, 8).physical_to_logical
        )

    def test_more_tokens_than_float32_can_count(self) -> None:
        load = np.array([[2**24 + 1, 2**24, 2**40 + 3, 5]])
        plan = rebalance(load, 8, 4)
        check(plan)
        assert plan.load[0].tolist() == load[0].tolist()
        assert plan.gpu_load.sum() == load.sum()

    def test_the_first_axis_is_layers(self) -> None:
        """More layers than experts, and every layer heavy in another place: counts are taken per layer."""
        load = 1 + 9 * np.tile(np.eye(4), (5, 1))
        plan = rebalance(load, 8, 4)
        assert (plan.replica_count.argmax(axis=1) == load.argmax(axis=1)).all()
        assert (plan.replica_count.sum(axis=1) == 8).all()


def test_every_process_makes_the_same_plan() -> None:
    """A plan made on one rank holds on the others: with another hash seed, other threads, another order of calls."""
    code = (
        "import hashlib, numpy as np; from pipelab.eplb import *\n"
        "load = lognormal(6, 64, seed=0, tokens=500)\n"
        "plans = [rebalance(load, 80, 16, 4, 8, policy=policy) for policy in ('greedy', 'refined')]\n"
        "plans.append(rebalance(load[::-1], 80, 16, 4, 8, policy='incremental', previous=plans[1]))\n"
        "print(hashlib.sha256(b''.join(plan.logical_to_physical.tobytes() for plan in plans)).hexdigest())"
    )
    found = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed}
        found.add(subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, env=env, text=True).strip())
    load = lognormal(6, 64, seed=0, tokens=500)
    rebalance(lognormal(6, 64, seed=1), 80, 16, policy="refined")
    plans = [rebalance(load, 80, 16, 4, 8, policy=policy) for policy in ("greedy", "refined")]
    plans.append(rebalance(load[::-1], 80, 16, 4, 8, policy="incremental", previous=plans[1]))
    found.add(hashlib.sha256(b"".join(plan.logical_to_physical.tobytes() for plan in plans)).hexdigest())
    assert len(found) == 1


def test_import_is_light() -> None:
    code = "import sys, pipelab.eplb; print(*({'torch', 'matplotlib', 'ipywidgets'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == ""
