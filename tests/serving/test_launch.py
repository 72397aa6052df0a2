"""Loads served on real ranks: as the plan predicts, with the outputs of one process, and with real moves in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, strategies as st

from pipelab import Costs, Plan, rebalance
from pipelab.eplb import MovingAverage, Window, contiguous, drifting, one_hot, zipf
from pipelab.ranks import Cancelled, Progress, RankDied
from pipelab.ranks.forkserver_client import SERVER, ForkServer
from pipelab.serving import Serving, serve
from pipelab.serving.fixed_routing import counts_of, routes_of
from pipelab.serving.migration import transfers
from tests.ranks.drivers import gone

SMALL: dict[str, Any] = {"width": 8, "hidden": 16, "tokens": 203, "steps": 1}  # tokens that no number of ranks divides


def before_and_after(ranks: int, replicas: int, **settings: Any) -> tuple[Serving, list[Plan]]:
    load = zipf(2, 10, exponent=1.0, seed=1)
    plans = [contiguous(load, replicas, ranks), rebalance(load, replicas, ranks, policy="refined")]
    return serve([load, load], plans, **{**SMALL, **settings}), plans


@pytest.mark.parametrize(("ranks", "replicas"), [(2, 12), (4, 16), (8, 16)])
def test_before_and_after(ranks: int, replicas: int) -> None:
    served, plans = before_and_after(ranks, replicas, dtype="float64")
    assert served.error is not None and served.error <= 1e-10 and served.equal
    assert (served.ranks, served.source, served.replanned) == (ranks, "measured", (1,))
    before, after = served.windows
    for window in served.windows:
        assert window.tokens.sum(axis=1).tolist() == [203, 203]
        # A replica gets its share to within one token, and an expert with one exactly its load.
        shared = (window.plan.replica_count > 1)[np.arange(2)[:, None], window.plan.physical_to_logical]
        slack = shared.reshape(2, ranks, -1).sum(axis=2)
        assert (np.abs(window.tokens - window.plan.gpu_load) <= slack).all()
        assert window.compute.shape == window.wall.shape == (2, ranks)
        assert (window.compute >= 0).all() and window.step > 0 and window.dispatch_bytes > 0
    assert after.balancedness > before.balancedness
    assert after.straggler_tokens < before.straggler_tokens
    assert after.moved_slots == plans[1].moves(plans[0]).sum() > 0
    assert after.moved_bytes == plans[1].bytes_moved(plans[0], served.expert_bytes)
    assert (before.moved_slots, before.moved_bytes, before.moving) == (0, 0, 0)
    assert after.moving > 0
    assert "DIFFER" not in str(served)
    assert served.table.column("moved") == (0, after.moved_slots)
    assert f"{after.balancedness:.3f}" in served._repr_html_()


def test_float32() -> None:
    served, _ = before_and_after(4, 12, dtype="float32")
    assert served.error is not None and served.error <= 1e-5 and served.equal


def test_ranks_that_divide_nothing() -> None:
    """3 ranks, 10 experts in 12 slots; and one rank, which sends nothing to anybody."""
    served, _ = before_and_after(3, 12, dtype="float64")
    assert served.equal
    alone, _ = before_and_after(1, 12, dtype="float64")
    assert alone.equal and alone.moved_bytes == 0 and alone.windows[1].dispatch_bytes == 0


def test_the_stragglers_computation_falls() -> None:
    """CPU time of the experts' threads: a busy machine does not change it much; a quarter of the tokens does."""
    load = one_hot(1, 8, seed=0)
    plans = [contiguous(load, 16, 4), rebalance(load, 16, 4, policy="refined")]
    before, after = serve([load, load], plans, tokens=4000, width=64, hidden=512).windows
    assert after.straggler_tokens == 1000 and before.straggler_tokens == 4000
    assert after.straggler < 0.7 * before.straggler


def test_paced_experts_take_what_is_prescribed() -> None:
    served, _ = before_and_after(4, 12, pace=Costs(200, unit="us"), steps=2)
    assert served.source == "paced" and "paced, 200 µs a token" in str(served)
    for window in served.windows:
        assert (window.wall >= 0.2 * window.tokens - 1e-6).all()  # floats
        assert window.step >= 0.2 * window.straggler_tokens - 1e-6
    assert served.equal


def test_an_emulated_link_holds_the_move() -> None:
    served, plans = before_and_after(4, 12, pace=Costs(0, bandwidth=0.04, unit="us"))
    moves = [move for move in transfers(plans[1], plans[0]) if move.slot // 3 != move.source // 3]
    arriving = max(np.bincount([move.slot // 3 for move in moves]))
    assert served.windows[1].moving >= arriving * served.expert_bytes / 40 - 1e-6
    assert "emulated link" in str(served)


class TestOnline:
    """Re-balancing over a load that drifts."""

    loads = drifting(6, 2, 12, sigma=1.2, correlation=0.95, seed=3)

    @pytest.mark.parametrize(("policy", "every"), [("incremental", 1), ("refined", 2), ("greedy", 3)])
    def test_ranks_plan_what_the_predictor_says(self, policy: str, every: int) -> None:
        served = serve(
            self.loads,
            ranks=4,
            replicas=16,
            policy=policy,
            every=every,
            predictor=MovingAverage(2),
            max_moved=0.25,
            dtype="float64",
            **SMALL,
        )
        assert served.equal
        plan, predictor, expected = contiguous(self.loads[0], 16, 4), MovingAverage(2), self.loads[0]
        for number, window in enumerate(served.windows):
            if number and number % every == 0:
                previous = plan if policy == "incremental" else None
                fresh = rebalance(expected, 16, 4, policy=policy, previous=previous, max_moved=0.25)
                assert window.moved_bytes == fresh.bytes_moved(plan, served.expert_bytes)
                assert window.planning > 0
                plan = fresh
            assert np.array_equal(window.plan.physical_to_logical, plan.physical_to_logical)
            assert np.array_equal(window.plan.load, counts_of(self.loads[number], 203))
            expected = predictor.update(window.plan.load)
        assert served.replanned == tuple(range(every, 6, every))

    def test_never(self) -> None:
        served = serve(self.loads, ranks=2, **SMALL)
        assert served.replanned == () and served.moved_bytes == 0 and served.moving == 0
        assert served.total == pytest.approx(sum(window.step for window in served.windows))

    def test_when_it_pays(self) -> None:
        served = serve(self.loads[:3], ranks=4, replicas=16, policy="refined", pace=Costs(300, unit="us"), **SMALL)
        before, after, _ = served.windows
        saved = before.step - after.step
        assert served.totals[1] - served.totals[0] == pytest.approx(after.step + after.moving + after.planning)
        assert after.pays_after(before) == ((after.moving + after.planning) / saved if saved > 0 else np.inf)
        assert before.pays_after(after) == 0  # it has cost nothing


class TestRefusals:
    """Found before a process is started."""

    @pytest.fixture(autouse=True)
    def _no_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ForkServer, "ready", lambda *_: pytest.fail("a process was asked for"))

    @pytest.mark.parametrize(
        ("loads", "message"),
        [
            ([[1, float("nan")]], "loads must be finite and not negative; layer 0, expert 1 has nan"),
            ([[[1, 2]], [[3, -1]]], "window 1 of loads must be finite and not negative; layer 0, expert 1 has -1.0"),
            ([1, 2, 3], r"loads must be \[layers, experts\] or \[windows, layers, experts\]; got shape \(3,\)"),
            ([[[1, 2]], [[1, 2, 3]]], r"all windows must have the same shape"),
            ([[]], r"loads must have a window, a layer and an expert; got shape \(1, 0\)"),
            (np.ones((0, 2, 4)), r"loads must have a window.*got shape \(0, 2, 4\)"),
            ([["a", "b"]], "loads must be numbers"),
        ],
    )
    def test_loads(self, loads: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            serve(loads)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"ranks": 3, "replicas": 10}, r"replicas must be a multiple of gpus \(3\): 9 or 12; got 10"),
            ({"ranks": 4, "replicas": 4}, "replicas must be 8 or more: each of 8 experts needs a replica"),
            ({"ranks": 16}, "each of 16 GPUs needs an expert of its own; there are 8 experts"),
            ({"ranks": 0}, "ranks must be at least 1; got 0"),
            ({"ranks": 2.5}, "ranks must be a whole number; got 2.5"),
            ({"policy": "magic"}, "policy must be one of greedy, refined, incremental, or None; got 'magic'"),
            ({"every": 0}, "every must be at least 1; got 0"),
            ({"tokens": 0}, "tokens must be at least 1; got 0"),
            ({"pace": 150}, "pace must be Costs, such as .*; got 150"),
            ({"pace": Costs([1, 2])}, r"pace.forward must be one number, what a token costs; got \(1000, 2000\)"),
            ({"pace": Costs(unit="h")}, "'h' is no known unit of time"),
            ({"max_moved": 2}, "max_moved is a share of the slots, 0 to 1; got 2"),
            ({"predictor": 3}, r"predictor must have update\(load\)"),
            ({"dtype": "int8"}, "dtype must be one of float64, float32, bfloat16, float16; got 'int8'"),
            ({"plan": "mine"}, "plan must be a Plan"),
            ({"plan": 5}, "plan must be a Plan, as rebalance makes them, or a list of them; got 5"),
            ({"plan": rebalance(np.ones((1, 8)), 8, 4)}, "the plan is for 1 layers of 8 experts; the loads have 2"),
            ({"plan": rebalance(np.ones((2, 8)), 8, 4), "ranks": 8}, "the plan is for 4 GPUs; ranks must be 4"),
            ({"plan": rebalance(np.ones((2, 8)), 8, 4), "replicas": 12}, "the plan is for 8 replicas"),
            ({"plan": [rebalance(np.ones((2, 8)), 8, 4)] * 2}, "a list of plans is one for each of 1 windows"),
        ],
    )
    def test_arguments(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            serve(np.ones((2, 8)), **options)

    def test_plans_of_different_sizes(self) -> None:
        plans = [rebalance(np.ones((2, 8)), replicas, 4) for replicas in (8, 12)]
        with pytest.raises(ValueError, match="12 replicas, not 8"):
            serve(np.ones((2, 2, 8)), plans)


class TestFaults:
    """Each ends with its reason, and the next run works."""

    @pytest.fixture(autouse=True)
    def _the_next_run_works(self):
        yield
        assert serve(np.ones((1, 4)), ranks=2, **SMALL).equal

    def test_a_rank_killed_in_the_middle(self) -> None:
        class Deadly(Window):
            def update(self, load: Any) -> np.ndarray:
                import torch.distributed as dist

                self.windows = getattr(self, "windows", 0) + 1
                if self.windows == 2 and dist.get_rank() == 1:
                    os.kill(os.getpid(), signal.SIGKILL)
                return super().update(load)

        began = time.monotonic()
        with pytest.raises(RankDied, match="rank 1 was killed by SIGKILL"):
            serve(np.ones((4, 1, 8)), ranks=4, predictor=Deadly(1), **SMALL)
        assert time.monotonic() - began < 30
        assert gone(psutil.Process(SERVER.process.pid).children())

    def test_a_predictor_that_fails(self) -> None:
        class Failing:
            def update(self, load: Any) -> np.ndarray:
                raise RuntimeError("I can't tell")

        with pytest.raises(RuntimeError, match="I can't tell"):
            serve(np.ones((1, 8)), ranks=2, predictor=Failing(), **SMALL)

    def test_cancel(self) -> None:
        """As soon as it runs; it would take a minute."""
        cancel, seen = threading.Event(), []

        def progress(now: Progress) -> None:
            seen.append(now)
            if now.done:
                cancel.set()

        with pytest.raises(Cancelled):
            given = {**SMALL, "steps": 300}
            serve(np.ones((1, 8)), ranks=2, pace=Costs(1), progress=progress, cancel=cancel, **given)
        assert gone(psutil.Process(SERVER.process.pid).children())
        assert 0 < seen[-1].fraction < 1 and "window 0, step" in seen[-1].where[0]


@given(
    st.lists(st.lists(st.floats(0, 1e6, allow_subnormal=False), min_size=5, max_size=5), min_size=1, max_size=3),
    st.integers(1, 5000),
)
def test_counts_are_the_load_in_whole_tokens(load: list[list[float]], tokens: int) -> None:
    array = np.array(load)
    counts = counts_of(array, tokens)
    assert (counts >= 0).all() and counts.sum(axis=1).tolist() == [tokens] * len(load)
    for layer, found in zip(array, counts, strict=True):
        share = layer * (tokens / layer.sum()) if layer.sum() else np.full(5, tokens / 5)
        assert np.abs(found - share).max() < 1 + 1e-6
    assert np.array_equal(counts_of(counts.astype(float), tokens), counts)
    routes = routes_of(counts, seed=0)
    assert [np.bincount(each, minlength=5).tolist() for each in routes] == counts.tolist()
