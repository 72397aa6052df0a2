"""Runs whose backward is split: any order, any placement; what stages may be; memory; calibration."""

from __future__ import annotations

from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor, nn

from pipelab import Costs, Schedule, build, run, simulate
from pipelab.autograd.graph import CUSTOM
from pipelab.ir import from_csv, looped
from pipelab.models import batches, transformer_stages
from pipelab.schedules import SCHEDULES, dualpipe, one_f_one_b, zb_h1
from tests.ir.generate import random_schedule, valid_schedules
from tests.runtime.small import WIDTH, linears, mse, vectors

ROW = 2 * WIDTH * 4  # bytes of an activation of one micro-batch in float32

# Three stages whose W comes late, so that there is time between I and W.
LATE_W = from_csv(
    """0F0,0F1,0F2,0I0,0W0,0F3,0I1,0W1,0I2,0W2,0I3,0W3
       1F0,1F1,1I0,1F2,1I1,1W0,1F3,1I2,1W1,1I3,1W2,1W3
       2F0,2I0,2F1,2I1,2F2,2I2,2W0,2F3,2I3,2W1,2W2,2W3""",
    name="late W",
)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule(name: str) -> None:
    schedule = build(name, 4, 8)
    stages = linears(schedule.num_stages, torch.float64)
    result = run(schedule, stages, vectors(16, torch.float64), loss=mse, steps=2)
    assert result.gradients_equal
    assert result.copies_equal is (True if name == "dualpipe" else None)
    assert result.early_gradients == {}
    assert result.peak_activations == simulate(schedule).peak_activations
    change = {"F": 1, "I": 0, "B": -1, "W": -1}
    for program, kept in zip(schedule.programs, result.activation_bytes, strict=True):
        held = accumulate(sum(change[part.kind] for part in action.computes) for action in program)
        assert [number > 0 for _, number in kept] == [count > 0 for count in held]


@settings(max_examples=12)
@given(valid_schedules(training=True))
def test_any_order_over_any_placement(schedule: Schedule) -> None:
    """Whole and split backwards mixed, overlapped pairs, several stages a rank, several routes."""
    stages, size = linears(schedule.num_stages, torch.float64), 2 * schedule.num_microbatches
    result = run(schedule, stages, vectors(size, torch.float64), loss=mse, steps=2)
    assert result.gradients_equal
    assert result.copies_equal is not False
    assert result.early_gradients == {}
    assert result.peak_activations == simulate(schedule).peak_activations


def test_a_transformer_with_split_backwards_in_an_uneven_cut() -> None:
    stages = transformer_stages(3, split=[0, 2, 1], width=16)
    result = run(LATE_W, stages, batches(8, 16, steps=4))
    assert result.gradients_equal
    assert result.early_gradients == {}


def test_memory_and_when_it_was_freed() -> None:
    """Of the middle rank: a linear layer's X, tanh's output, and between I and W the linear layer's dY."""
    result = run(LATE_W, linears(3), vectors(8), loss=mse)
    freed = {str(action): number for _, action, number in result.freed_bytes[1]}
    assert freed == {f"1{kind}{m}": size for m in range(4) for kind, size in (("I", ROW), ("W", 2 * ROW))}
    times = [when for when, *_ in result.freed_bytes[1]]
    assert times == sorted(times)
    # A micro-batch keeps 2 rows from F to I, and from I to W again 2: one is the same, one another.
    kept = [number // ROW for _, number in result.activation_bytes[1]]
    assert kept == [2, 4, 4, 6, 6, 4, 6, 6, 4, 4, 2, 0]
    assert result.peak_activation_bytes[1] // ROW == 7  # while 1I1 runs: its dY is there, tanh's output still too


@pytest.mark.parametrize("ranks", [1, 3])
def test_dropout_is_the_same_with_the_same_seed(ranks: int) -> None:
    schedule = random_schedule(looped(ranks, 2), 4, seed=3, split=0.7, overlap=0.3)
    stages = [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.5), nn.Tanh()) for _ in range(2 * ranks)]
    first, again, other = (run(schedule, stages, vectors(8), loss=mse, steps=3, seed=seed) for seed in (5, 5, 6))
    assert first.gradients_equal
    assert first.losses == again.losses
    assert first.losses != other.losses


class TestStages:
    """What a stage may be, with whole backwards and with split ones."""

    SCHEDULES = (from_csv("0F0,0F1,0B0,0B1\n1F0,1B0,1F1,1B1\n2F0,2B0,2F1,2B1", name="whole"), LATE_W)

    @pytest.mark.parametrize("schedule", SCHEDULES, ids=["whole", "split"])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_without_parameters(self, schedule: Schedule, place: int) -> None:
        stages = linears(3)
        stages[place] = nn.Sigmoid()
        batch = vectors(2 * schedule.num_microbatches)
        assert run(schedule, stages, batch, loss=mse, steps=2).gradients_equal

    @pytest.mark.parametrize("schedule", SCHEDULES, ids=["whole", "split"])
    @pytest.mark.parametrize("place", [0, 1, 2])
    def test_frozen(self, schedule: Schedule, place: int) -> None:
        stages = linears(3)
        stages[place].requires_grad_(False)
        batch = vectors(2 * schedule.num_microbatches)
        assert run(schedule, stages, batch, loss=mse, steps=2).gradients_equal

    @pytest.mark.parametrize("schedule", SCHEDULES, ids=["whole", "split"])
    def test_token_ids(self, schedule: Schedule) -> None:
        """The first stage's input is whole numbers: it has no gradient."""
        stages = [nn.Embedding(10, WIDTH), *linears(2)]
        size = 2 * schedule.num_microbatches
        batch = torch.arange(size) % 10, vectors(size)[1]
        assert run(schedule, stages, batch, loss=mse, steps=2).gradients_equal

    def test_an_output_that_does_not_depend_on_the_input(self) -> None:
        class Deaf(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.answer = nn.Parameter(torch.ones(2, WIDTH))

            def forward(self, x: Tensor) -> Tensor:
                return self.answer * 2

        for schedule in self.SCHEDULES:
            batch = vectors(2 * schedule.num_microbatches)
            with pytest.raises(ValueError, match="stage 2's output does not depend on its input"):
                run(schedule, [*linears(2), Deaf()], batch, loss=mse, check=False)

    def test_gradients_that_can_not_wait_are_told(self) -> None:
        class Double(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x: Tensor, w: Tensor) -> Tensor:
                ctx.save_for_backward(x, w)
                return x * w

            @staticmethod
            def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor]:
                x, w = ctx.saved_tensors
                return dy * w, (dy * x).sum(0)

        class Scaled(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear, self.scale = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.ones(WIDTH))

            def forward(self, x: Tensor) -> Tensor:
                return Double.apply(self.linear(x), self.scale)

        stages = linears(3)
        stages[1] = Scaled()
        result = run(LATE_W, stages, vectors(8), loss=mse)
        assert result.gradients_equal
        assert result.early_gradients == {"stage 1: scale": CUSTOM}


class TestSharedBetweenStages:
    """Refused with the reason: on two ranks, one parameter would become two."""

    def test_tied_weights(self) -> None:
        embedding, head = nn.Embedding(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH, bias=False)
        head.weight = embedding.weight
        message = r"stages 0 and 2 share a parameter \(weight of stage 0 is 1.weight of stage 2\): .*learn apart"
        with pytest.raises(ValueError, match=message):
            run(LATE_W, [embedding, nn.Tanh(), nn.Sequential(nn.Tanh(), head)], vectors(8), loss=mse)

    def test_one_module_as_two_stages(self) -> None:
        with pytest.raises(ValueError, match="stages 0 and 1 share a parameter"):
            run(LATE_W, [*linears(1) * 2, nn.Tanh()], vectors(8), loss=mse)

    @pytest.mark.parametrize("ranks", [1, 2])
    def test_made_on_the_ranks(self, ranks: int) -> None:
        """On one rank it is found before training, on two only by the check against one process."""
        module = nn.Linear(WIDTH, WIDTH)
        schedule = random_schedule(looped(ranks, 2 // ranks), 2, seed=0, split=1, overlap=0)
        with pytest.raises(ValueError, match="stages 0 and 1 share a parameter"):
            run(schedule, [lambda: module, lambda: module], vectors(4), loss=mse)

    def test_within_a_stage_is_fine(self) -> None:
        linear_layer = nn.Linear(WIDTH, WIDTH)
        stages = linears(3)
        stages[1] = nn.Sequential(linear_layer, nn.Tanh(), linear_layer)
        assert run(LATE_W, stages, vectors(8), loss=mse, steps=2).gradients_equal


@pytest.mark.parametrize(
    ("schedule", "kinds"),
    [
        (one_f_one_b(2, 3), {"F", "B"}),
        (zb_h1(2, 3), {"F", "I", "W"}),
        (dualpipe(2, 4), {"F", "B", "I", "W", "OVERLAP_F_B"}),
    ],
    ids=["whole", "split", "overlapped"],
)
def test_costs_are_calibrated_from_a_run(schedule: Schedule, kinds: set[str]) -> None:
    """What a run of any kind shows is enough to simulate it."""
    result = run(schedule, linears(schedule.num_stages), vectors(2 * schedule.num_microbatches), loss=mse, steps=3)
    assert {action.kind for action in result.timeline.actions} == kinds
    costs = Costs.from_timeline(result.timeline, schedule)
    for stage in range(schedule.num_stages):
        assert costs.duration("F", stage) + costs.duration("B", stage) > 0
    assert simulate(schedule, costs).makespan == result.simulated.makespan > 0
