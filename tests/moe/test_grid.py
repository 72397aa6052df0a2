"""A grid of ranks, pipeline x experts: gradients are those of the whole model in one process."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from pipelab import Costs, Schedule, run, simulate
from pipelab.ir import forward_only
from pipelab.models import Attention
from pipelab.moe import Expert, MoEBlock
from pipelab.overlap.segmented import SegmentedSequence
from pipelab.ranks import RankDied
from pipelab.runtime.grid import Grid
from pipelab.schedules import dualpipe, gpipe, one_f_one_b, zb_h1
from pipelab.simulator.pair_timing import pair_times
from tests.overlap.test_overlap import Sleepy
from tests.ranks.test_torchrun import torchrun
from tests.runtime.small import linears, mse, vectors

WIDTH = 8


def blocks(count: int, layers: int = 1) -> list[nn.Module]:
    shape = {"hidden": 8, "num_experts": 4, "top_k": 2, "shared_hidden": 4, "balance": "auxiliary", "strength": 0.1}
    return [
        SegmentedSequence(*(MoEBlock(WIDTH, 2, seed=10 * stage + layer, **shape) for layer in range(layers))).double()
        for stage in range(count)
    ]


def batch(size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(2, size, 5, WIDTH, generator=generator, dtype=torch.float64)
    return inputs, targets


@pytest.mark.parametrize(
    ("schedule", "columns"),
    [
        (gpipe(1, 2), 2),
        (one_f_one_b(2, 4), 2),
        (zb_h1(2, 4), 2),
        (dualpipe(2, 4), 1),
        (dualpipe(2, 4), 2),
        (dualpipe(2, 4), 4),
        (dualpipe(4, 8), 2),
    ],
    ids=lambda value: f"{value.name}-{value.num_ranks}" if isinstance(value, Schedule) else f"x{value}",
)
def test_gradients_are_those_of_one_process(schedule: Schedule, columns: int) -> None:
    stages, data = blocks(schedule.num_stages), batch(schedule.num_microbatches * columns)
    result = run(schedule, stages, data, loss=mse, expert_ranks=columns, steps=2)
    assert result.tolerance == 1e-10
    assert result.gradients_equal, (result.max_gradient_error, result.worst)
    assert not result.early_gradients
    assert result.copies_equal is (True if schedule.name == "dualpipe" else None)
    assert result.peak_activations == simulate(schedule).peak_activations


def test_overlap_changes_nothing() -> None:
    schedule = dualpipe(2, 4)
    results = [
        run(schedule, blocks(2, layers=2), batch(8), loss=mse, expert_ranks=2, steps=3, overlap=overlap)
        for overlap in (False, True)
    ]
    assert results[0].losses == results[1].losses
    assert results[0].gradients_equal
    assert results[1].gradients_equal


@settings(max_examples=3)
@given(st.integers(0, 1000))
def test_no_timing_changes_a_step(seed: int) -> None:
    """Every phase of every rank sleeps for a random time."""
    stages = [Sleepy(stage, seed + number) for number, stage in enumerate(blocks(2, layers=2))]
    result = run(dualpipe(2, 4), stages, batch(8), loss=mse, expert_ranks=2)
    assert result.gradients_equal, (result.max_gradient_error, result.worst)


@pytest.mark.parametrize("schedule", [one_f_one_b(2, 4), dualpipe(2, 4)], ids=lambda schedule: schedule.name)
def test_the_bias_moves_as_in_one_process(schedule: Schedule) -> None:
    """Also where each of two copies of a stage sees half of the loads. A strength that changes choices at once."""
    results = []
    for strength in (0.5, 0.0):
        shape = {"hidden": 8, "num_experts": 4, "top_k": 1, "balance": "bias", "strength": strength}
        stages = [MoEBlock(WIDTH, 2, seed=stage, **shape).double() for stage in range(2)]
        results.append(run(schedule, stages, batch(8), loss=mse, expert_ranks=2, steps=4))
        assert results[-1].max_loss_error is not None
        assert results[-1].max_loss_error <= 1e-10
    assert results[0].losses[0] == results[1].losses[0]
    assert results[0].losses[1] != results[1].losses[1]


def test_the_timeline_has_two_streams() -> None:
    costs = Costs(2, 2, 2, forward_comm=3, backward_input_comm=3)
    schedule = dualpipe(2, 4)
    result = run(schedule, blocks(2), batch(8), loss=mse, expert_ranks=2, pace=costs)
    timeline = result.timeline
    assert timeline.num_ranks == 2
    assert (timeline.source, timeline.note) == ("paced", "emulated link")
    assert {span.stream for span in timeline.spans} == {"compute", "comm"}
    assert set(timeline.actions) == {action for program in schedule.programs for action in program}
    assert result.gradients_equal


#: Every exchange is waited for at once but dispatch(B), behind which all weights are left for the end.
SERIAL = ["attention(F)", "dispatch(F)", "experts(F)", "combine(F)", "combine(B)", "experts(B)", "dispatch(B)"]
SERIAL += ["attention(B)", "experts(W)", "attention(W)"]


@pytest.mark.parametrize("order", ["megatron", SERIAL], ids=["megatron", "serial"])
def test_a_step_runs_its_pairs_in_the_order_that_it_is_given(order: Any) -> None:
    costs, schedule = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12, unit="ms"), dualpipe(2, 4)
    result = run(schedule, blocks(2), batch(8), loss=mse, expert_ranks=2, pace=costs, order=order)
    assert result.gradients_equal, (result.max_gradient_error, result.worst)
    takes = pair_times(costs, exchanges=2, order=order).overlapped
    assert takes > pair_times(costs, exchanges=2).overlapped
    assert result.simulated.makespan == simulate(schedule, replace(costs, overlapped=takes)).makespan
    for action in (action for program in schedule.programs for action in program if action.parts):
        spans = [span for span in result.timeline.spans if span.action == action]
        assert sum(span.stream == "comm" for span in spans) == 4
        assert sum(span.stream == "compute" for span in spans) == (6 if order is SERIAL else 4)


def test_an_order_that_can_not_be_done_is_refused_before_a_rank_is_started() -> None:
    for order, said in ((SERIAL[::-1], "comes before"), ("zb-h1", "one of deepseek"), (SERIAL[1:], "is missing")):
        with pytest.raises(ValueError, match=said):
            run(dualpipe(2, 4), blocks(2), batch(8), loss=mse, order=order)
    for plain in (None, [torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)]):
        with pytest.raises(ValueError, match="'megatron' orders the segments of stages that have some"):
            run(dualpipe(2, 4), plain, order="megatron")
    of_two = [f"{each}{layer}" for layer in (0, 1) for each in SERIAL[:4]]
    of_two += [f"{each}{layer}" for layer in (1, 0) for each in SERIAL[4:]]
    with pytest.raises(ValueError, match="lists 2 layers, with two exchanges each; the stage has 2 exchanges"):
        run(dualpipe(2, 4), blocks(2), batch(8), loss=mse, expert_ranks=2, order=of_two, check=False)


@pytest.mark.parametrize("overlap", [False, True])
def test_the_prediction_is_of_pairs_as_they_are_run(overlap: bool) -> None:
    costs, schedule = Costs(2, 2, 2, forward_comm=3, backward_input_comm=3), dualpipe(2, 4)
    result = run(schedule, blocks(2), batch(8), loss=mse, expert_ranks=2, pace=costs, overlap=overlap, check=False)
    times = pair_times(costs, exchanges=2)
    pair = times.overlapped if overlap else times.serial
    assert result.simulated.makespan == simulate(schedule, replace(costs, overlapped=pair)).makespan


def test_phases_that_can_not_keep_the_pace() -> None:
    """Each sleeps for longer than it is to take; rows that are waited for would hide that lateness grows."""

    class Slow(Attention):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.02)
            return super().forward(x)

    block = MoEBlock(WIDTH, 2, hidden=8, num_experts=2, top_k=1)
    block.attention = Slow(WIDTH, 2)
    stages = [SegmentedSequence(block.double())]
    costs = Costs(4, 4, 4, forward_comm=60, backward_input_comm=60)
    result = run(gpipe(1, 2), stages, batch(4), loss=mse, pace=costs, expert_ranks=2)
    assert result.lateness_ms > 15
    assert not result.valid
    assert result.gradients_equal


def test_under_torchrun(tmp_path) -> None:
    script = tmp_path / "grid.py"
    script.write_text(
        textwrap.dedent("""
        import torch
        from pipelab import run
        from pipelab.schedules import dualpipe
        from pipelab.moe import MoEBlock

        def squares(output, target):
            return ((output - target) ** 2).mean()

        stages = [MoEBlock(8, 2, seed=stage, hidden=8, num_experts=4, top_k=2) for stage in range(2)]
        data = torch.randn(2, 8, 5, 8, generator=torch.Generator().manual_seed(0))
        result = run(dualpipe(2, 4), stages, tuple(data), loss=squares, expert_ranks=2)
        if torch.distributed.get_rank() == 0:
            print(result.gradients_equal, result.copies_equal)
        """)
    )
    done = torchrun(str(script), ranks=4)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "True True\n"


def test_experts_inside_of_ordinary_modules() -> None:
    """Nothing hides their exchanges, but they are spread and learn all the same, also with a split backward."""
    stages = [nn.Sequential(nn.Linear(WIDTH, WIDTH).double(), block) for block in blocks(2)]
    assert run(zb_h1(2, 4), stages, batch(8), loss=mse, expert_ranks=2, steps=2).gradients_equal


def test_ordinary_stages_are_copied_and_learn_as_one() -> None:
    """Without experts, the columns are plain data parallelism."""
    data = vectors(8, torch.float64)
    result = run(one_f_one_b(2, 2), linears(2, torch.float64), data, loss=mse, expert_ranks=2, steps=3)
    assert result.gradients_equal
    assert result.max_loss_error is not None
    assert result.max_loss_error <= 1e-10


def test_a_rank_killed_in_the_middle_of_an_exchange() -> None:
    """In its experts, while the other rank of its row waits for what they make."""

    def die(expert: nn.Module, rows: tuple[Tensor, ...]) -> None:
        if torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    stages = blocks(2)
    for module in stages[0].modules():
        if isinstance(module, Expert):
            module.register_forward_pre_hook(die)
    with pytest.raises(RankDied, match="rank 1 was killed by SIGKILL"):
        run(gpipe(2, 2), stages, batch(4), loss=mse, expert_ranks=2, check=False)
    assert run(gpipe(2, 2), linears(2), vectors(4), loss=mse).gradients_equal


def test_places_in_a_grid() -> None:
    grids = [Grid.of(rank, rows=4, columns=2) for rank in range(8)]
    assert [(grid.row, grid.column) for grid in grids] == [(row, column) for row in range(4) for column in range(2)]
    assert grids[5].pipeline == (1, 3, 5, 7)
    assert grids[5].neighbours == (4, 5)
    with pytest.raises(ValueError, match="a grid of 4 x 2 has ranks 0 to 7; got 8"):
        Grid.of(8, rows=4, columns=2)


def test_what_a_grid_refuses() -> None:
    with pytest.raises(ValueError, match="2 micro-batches, each for 2 ranks, don't divide a batch of 6: .* of 8"):
        run(gpipe(2, 2), blocks(2), batch(6), loss=mse, expert_ranks=2)
    with pytest.raises(ValueError, match="expert_ranks must be at least 1"):
        run(gpipe(2, 2), blocks(2), batch(4), loss=mse, expert_ranks=0)
    with pytest.raises(ValueError, match="expert_ranks must be 1 for a forward-only schedule"):
        run(forward_only(gpipe(2, 2)), blocks(2), batch(4), loss=mse, expert_ranks=2)
    with pytest.raises(ValueError, match="multiple of the 3 ranks that they are spread over, as 6 is; got 4"):
        run(gpipe(1, 1), blocks(1), batch(3), loss=mse, expert_ranks=3)
