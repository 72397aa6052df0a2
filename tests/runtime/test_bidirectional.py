"""Bidirectional pipelines, as DualPipe: two stages a rank, two copies of every stage, which learn as one."""

from __future__ import annotations

import os
import signal
import time

import psutil
import pytest
import torch
from torch import Tensor, nn

from pipelab import Schedule, run, simulate
from pipelab.ir import Placement, bidirectional, from_csv
from pipelab.models import batches, transformer_stages
from pipelab.ranks import Progress, RankDied
from pipelab.ranks.forkserver_client import SERVER
from pipelab.schedules import dualpipe
from tests.ir.generate import random_schedule
from tests.ranks.drivers import gone
from tests.runtime.small import WIDTH, linears, mse, vectors

# DeepSeek's algorithm for 2 ranks and 4 micro-batches, by hand: the first pair not overlapped, the last backward split.
BY_HAND = from_csv(
    """0F0,1F2,0F1,1B2,(1F3;0B0)OVERLAP_F_B,1B3,0I1,0W1
       0F2,1F0,0F3,1B0,(1F1;0B2)OVERLAP_F_B,1B1,0I3,0W3""",
    name="dualpipe",
)


def both_ends(ranks: int, microbatches: int, seed: int = 0) -> Schedule:
    """Some order in which micro-batches enter at both ends, half of the backwards split, neighbours overlapped."""
    return random_schedule(bidirectional(ranks), microbatches, seed, split=0.5, overlap=0.7)


def kinds(schedule: Schedule) -> set[str]:
    return {action.kind for program in schedule.programs for action in program}


def test_dualpipe_of_two_ranks() -> None:
    assert dualpipe(2, 4) == BY_HAND
    result = run(BY_HAND, linears(2), vectors(8), loss=mse, steps=3)
    assert result.gradients_equal
    assert result.copies_equal
    assert [str(action) for rank, _, action, *_ in result.timeline.spans if rank == 0] == [
        *["0F0", "1F2", "0F1", "1B2", "(1F3;0B0)OVERLAP_F_B", "1B3", "0I1", "0W1"]
    ]
    assert result.peak_activations == simulate(BY_HAND).peak_activations


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_some_order_from_both_ends(ranks: int) -> None:
    """Also an odd number of ranks: the middle one holds one copy of its stage, and takes it for both routes."""
    schedule = both_ends(ranks, 5, seed=ranks)
    assert {"I", "W", "B", "OVERLAP_F_B"} <= kinds(schedule)
    result = run(schedule, linears(ranks, torch.float64), vectors(10, torch.float64), loss=mse, steps=2)
    assert result.tolerance == 1e-10
    assert result.gradients_equal
    assert result.copies_equal is (True if ranks > 1 else None)


def test_after_twenty_steps_both_copies_are_bit_by_bit_the_same() -> None:
    stages = transformer_stages(4, width=16)
    result = run(dualpipe(4, 8), stages, batches(16, sequence_length=16, steps=20))
    assert result.copies_equal
    assert result.gradients_equal
    assert result.max_loss_error is not None
    assert result.max_loss_error <= 1e-5
    assert result.losses[-1] < result.losses[0] - 0.5


def test_copies_that_learn_apart_are_noticed() -> None:
    """An optimizer that does on every rank something else."""

    def on_its_own(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.01 * (1 + torch.distributed.get_rank()))

    result = run(BY_HAND, linears(2), vectors(8), loss=mse, optimizer=on_its_own, check=False)
    assert result.copies_equal is False


def test_one_micro_batch_leaves_the_other_route_empty() -> None:
    """Copies on it see nothing; they take part all the same."""
    result = run(both_ends(2, 1), linears(2), vectors(2), loss=mse, steps=3)
    assert result.gradients_equal
    assert result.copies_equal


def test_three_copies_of_a_stage_and_parameters_of_two_types() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.scale = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.ones(WIDTH, dtype=torch.float64))
            # No gradient flows into it: an optimizer must not even shrink it.
            self.constant = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return (self.linear(x) * self.scale).float() + self.constant.detach()

    def shrinking(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.SGD(parameters, lr=0.1, weight_decay=1)

    placement = Placement("custom", ((0, 1), (1, 2), (2, 0)))
    schedule = random_schedule(placement, 6, seed=1, split=0.5, overlap=0.5)
    result = run(schedule, [Mixed(), Mixed()], vectors(12), loss=mse, optimizer=shrinking, steps=3)
    assert result.tolerance == 1e-5  # the less precise type's
    assert result.gradients_equal
    assert result.copies_equal


def test_a_rank_killed_between_both_directions(tmp_path) -> None:
    """In the middle of the steady phase, with messages of both routes on their way."""
    here, known = tmp_path / "here", tmp_path / "known"

    class Mortal(nn.Linear):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            if self.calls == 7 and torch.distributed.get_rank() == 2:
                here.touch()
                while not known.exists():
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            return super().forward(x)

    stages: list[nn.Module] = [Mortal(WIDTH, WIDTH) for _ in range(4)]
    schedule = dualpipe(4, 8)
    killed: list[float] = []

    def note(progress: Progress) -> None:
        if here.exists() and "F" in progress.where[2] and not killed:
            killed.append(time.monotonic())
            known.touch()

    with pytest.raises(RankDied, match=r"rank 2 was killed by SIGKILL while at .*F") as caught:
        run(schedule, stages, vectors(16), loss=mse, steps=3, check=False, progress=note)
    assert time.monotonic() - killed[0] < 10
    assert caught.value.rank == 2
    assert gone(psutil.Process(SERVER.process.pid).children())
    assert run(schedule, linears(4), vectors(16), loss=mse).gradients_equal
