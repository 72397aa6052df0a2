"""run: real ranks train as one process does, whatever the schedule, the cut or the pace."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from pipelab import Action, Costs, Schedule, build, run, simulate
from pipelab.ir import bidirectional, looped, v_shape
from pipelab.ir.action import SEND_B, SEND_F
from pipelab.models import batches, transformer_stages
from pipelab.runtime.single_process import compare_training
from pipelab.schedules import gpipe, naive, one_f_one_b
from tests.runtime.small import WIDTH, linears, mse, vectors

SENDS = (SEND_F, SEND_B)


@pytest.mark.parametrize("name", ["naive", "gpipe", "1f1b"])
@pytest.mark.parametrize(("ranks", "microbatches"), [(1, 1), (1, 3), (2, 4), (4, 2), (3, 5)])
def test_gradients_equal_one_process(name: str, ranks: int, microbatches: int) -> None:
    result = run(build(name, ranks, microbatches), linears(ranks), vectors(2 * microbatches), loss=mse, steps=2)
    assert result.max_gradient_error is not None
    assert result.max_gradient_error <= result.tolerance == 1e-5
    assert result.gradients_equal
    assert len(result.timeline) == 2 * ranks * microbatches
    assert result.peak_activations == simulate(result.schedule).peak_activations


def test_float64_is_held_to_its_own_tolerance() -> None:
    dtype = torch.float64
    result = run(one_f_one_b(3, 4), linears(3, dtype), vectors(8, dtype), loss=mse)
    assert result.tolerance == 1e-10
    assert result.gradients_equal


def test_a_wrong_gradient_is_noticed() -> None:
    class Forgetful(nn.Linear):
        """Differs from micro-batch to micro-batch in one process, but not in a fresh rank: state breaks equality."""

        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            Forgetful.calls += 1
            return super().forward(x) * (1 + 0.01 * (Forgetful.calls > 4))

    stages = [nn.Linear(WIDTH, WIDTH), Forgetful(WIDTH, WIDTH), Forgetful(WIDTH, WIDTH)]
    result = run(gpipe(3, 4), stages, vectors(8), loss=mse)
    assert result.gradients_equal is False
    assert result.worst.startswith("stage ")


def test_a_loss_that_is_no_number_equals_nothing() -> None:
    """Not even that of one process, which is none either."""

    class Broken(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) * float("nan")

    result = run(gpipe(2, 2), [nn.Linear(WIDTH, WIDTH), Broken(WIDTH, WIDTH)], vectors(4), loss=mse)
    assert math.isnan(result.losses[0])
    assert math.isnan(result.max_gradient_error)
    assert math.isnan(result.max_loss_error)
    assert result.gradients_equal is False


def test_one_wrong_gradient_among_right_ones_is_found() -> None:
    right = {(0, "a"): torch.ones(2), (0, "b"): torch.ones(2), (1, "a"): torch.ones(2)}
    for wrong, error in ((torch.tensor([1.0, 1.5]), 0.5), (torch.tensor([1.0, float("nan")]), math.nan)):
        found = compare_training({**right, (0, "b"): wrong}, right, [1.0], [1.0])
        assert found.gradient == pytest.approx(error, nan_ok=True)
        assert found.worst == "stage 0: b"
    same = compare_training(right, right, [1.0], [1.0])
    assert (same.gradient, same.loss, same.worst) == (0, 0, "")


def test_stages_without_parameters() -> None:
    result = run(gpipe(2, 2), [nn.Tanh(), nn.Linear(WIDTH, WIDTH).requires_grad_(False)], vectors(4), loss=mse)
    assert result.gradients_equal
    assert result.max_gradient_error == 0


def test_both_routes_of_a_bidirectional_pipeline() -> None:
    """Every stage has two copies; their gradients are summed, so that both copies stay what one process has."""
    down, up = ((0, 1), (2, 3))
    programs = []
    for rank in range(2):
        stages = {**dict.fromkeys(down, rank), **dict.fromkeys(up, 1 - rank)}
        early = [m for m in range(4) if stages[m] == 0]
        late = [m for m in range(4) if stages[m] == 1]
        forward = [Action("F", stages[m], m) for m in early + late]
        programs.append((*forward, *(Action("B", stages[m], m) for m in late + early)))
    schedule = Schedule("both ways", bidirectional(2), 4, tuple(programs))
    result = run(schedule, linears(2), vectors(8), loss=mse, steps=3)
    assert result.gradients_equal
    assert result.max_loss_error is not None
    assert result.max_loss_error < 1e-5


@pytest.mark.parametrize("placement", [looped(2, 2), v_shape(2)], ids=lambda p: p.kind)
def test_several_stages_on_one_rank(placement) -> None:
    forward = [Action("F", stage, m) for m in range(2) for stage in range(4)]
    backward = [Action("B", stage, m) for m in range(2) for stage in reversed(range(4))]
    programs = [
        tuple(a for a in forward + backward if placement.rank_of(a.stage, a.microbatch, 2) == rank) for rank in range(2)
    ]
    result = run(Schedule("chunks", placement, 2, tuple(programs)), linears(4), vectors(4), loss=mse)
    assert result.gradients_equal


def test_an_overlapped_pair_runs_as_one_action() -> None:
    pair = Action.overlap(Action("F", 0, 1), Action("B", 0, 0))
    schedule = Schedule("pair", looped(1, 1), 2, ((Action("F", 0, 0), pair, Action("B", 0, 1)),))
    result = run(schedule, linears(1), vectors(4), loss=mse)
    assert result.gradients_equal
    assert [str(action) for action in result.timeline.actions] == ["0F0", "(0F1;0B0)OVERLAP_F_B", "0B1"]


def test_dropout_is_the_same_in_the_pipeline_and_in_one_process() -> None:
    stages = [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5)) for _ in range(3)]
    assert run(one_f_one_b(3, 4), stages, vectors(8), loss=mse, steps=2).gradients_equal


def test_the_transformer_learns_from_real_text_in_an_uneven_split() -> None:
    stages = transformer_stages(3, split=[0, 2, 1], width=32)
    result = run(one_f_one_b(3, 4), stages, batches(16, steps=12))
    assert result.gradients_equal
    assert result.losses[-1] < result.losses[0] - 1


def test_stages_may_be_made_on_the_ranks() -> None:
    result = run(gpipe(2, 2), [lambda: nn.Linear(WIDTH, WIDTH)] * 2, vectors(4), loss=mse)
    assert result.gradients_equal


def test_forward_only() -> None:
    programs = tuple(tuple(Action("F", rank, m) for m in range(3)) for rank in range(2))
    schedule = Schedule("inference", looped(2, 1), 3, programs, training=False)
    result = run(schedule, linears(2), vectors(6), loss=mse)
    assert result.max_gradient_error is None
    assert result.peak_activation_bytes == (0, 0)


def test_1f1b_keeps_fewer_bytes_than_gpipe() -> None:
    """Bytes are those of autograd's saved tensors: each micro-batch of this stage keeps the same, known number."""
    ranks, microbatches = 3, 6
    kept = {
        name: run(build(name, ranks, microbatches), linears(ranks), vectors(12), loss=mse) for name in ("gpipe", "1f1b")
    }
    rows = 2 * WIDTH * 4
    # Kept are tanh's output and the linear layer's input; but rank 0's input is the batch, which is there anyway.
    # (The last rank keeps the loss's tensors too.)
    for rank, one in ((0, rows), (1, 2 * rows)):
        assert kept["gpipe"].peak_activation_bytes[rank] == microbatches * one
        assert kept["1f1b"].peak_activation_bytes[rank] == min(ranks - rank, microbatches) * one


def test_pace_is_held_in_its_own_unit() -> None:
    """A hundredth of a second is 10 ms: it was once taken for a hundredth of a ms."""
    result = run(naive(2, 2), linears(2), vectors(4), loss=mse, pace=Costs(0.01, 0.01, 0.01, unit="s"))
    assert (result.simulated.makespan, result.simulated.unit) == (120, "ms")
    assert 120 <= result.makespan_ms < 150


def test_a_paced_run_takes_as_long_as_prescribed() -> None:
    costs = Costs(forward=30, backward_input=20, backward_weight=10)
    result = run(gpipe(2, 3), linears(2), vectors(6), loss=mse, pace=costs, steps=8)
    assert result.paced
    assert result.timeline.source == "paced"
    assert result.simulated.makespan == simulate(result.schedule, costs).makespan
    fastest = min(timeline.makespan for timeline in result.timelines)  # of eight, as the machine may be busy
    assert 0.98 < fastest / result.simulated_makespan_ms < 1.2


def test_an_emulated_link_holds_every_message() -> None:
    costs = Costs(forward=2, backward_input=1, backward_weight=1, latency=40)
    result = run(naive(2, 2), linears(2), vectors(4), loss=mse, pace=costs)
    assert result.timeline.note == "emulated link"
    assert result.simulated_makespan_ms == 176
    assert result.makespan_ms > 0.98 * 176
    assert result.gradients_equal


def test_no_rank_waits_for_a_message_before_it_must() -> None:
    """Ranks of unequal speed and a slow link: a rank that waits for a message too early holds back what it has made."""
    costs = Costs(forward=[10, 20, 10], backward_input=5, backward_weight=[5, 15, 5], latency=15)
    result = run(one_f_one_b(3, 6), linears(3), vectors(12), loss=mse, pace=costs, steps=8)
    fastest = min(timeline.makespan for timeline in result.timelines)  # of eight, as the machine may be busy
    assert 0.98 < fastest / result.simulated_makespan_ms < 1.1


def test_progress_and_the_steps_timelines() -> None:
    seen = []
    result = run(gpipe(2, 4), linears(2), vectors(8), loss=mse, steps=3, pace=Costs(30, 15, 15), progress=seen.append)
    assert len(result.timelines) == 3
    assert result.timeline in result.timelines
    assert [p.fraction for p in seen] == sorted(p.fraction for p in seen)
    assert len(seen) > 2
    assert seen[-1].fraction == 1
    assert any("F" in where for p in seen for where in p.where)
    assert repr(result).startswith("<Run gpipe, paced: 2 ranks, cpu over gloo; makespan ")
    assert repr(result).endswith(", steps: 3; gradients equal one process's>")
