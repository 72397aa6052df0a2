"""Inference: any schedule without its backwards gives the outputs of one process, in the order of the micro-batches."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pipelab import Costs, Schedule, build, run
from pipelab.ir import forward_only, lower
from pipelab.models import batches, transformer_stages
from pipelab.schedules import SCHEDULES, gpipe, one_f_one_b
from tests.ir.generate import PLACEMENTS, random_schedule
from tests.runtime.small import WIDTH, linears, mse, vectors


def alone(stages: list[nn.Module], inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return nn.Sequential(*stages).eval()(inputs)


EVERY = [build(name, 2, 4) for name in SCHEDULES] + [
    random_schedule(make(3), 4, seed=1, split=0.5, overlap=0.5) for make in PLACEMENTS.values()
]


@pytest.mark.parametrize("schedule", EVERY, ids=[*SCHEDULES, *PLACEMENTS])
def test_every_schedule_and_placement(schedule: Schedule) -> None:
    schedule = forward_only(schedule)
    stages, (inputs, targets) = linears(schedule.num_stages), vectors(8)
    result = run(schedule, stages, (inputs, targets), loss=mse)
    (output,) = result.outputs
    torch.testing.assert_close(output, alone(stages, inputs), rtol=0, atol=1e-6)
    assert result.outputs_equal
    assert result.losses == pytest.approx([float(mse(output, targets))])
    assert result.max_loss_error is not None
    assert result.max_loss_error < 1e-5
    assert result.gradients_equal is None
    assert set(result.peak_activation_bytes) == {0}
    assert {action.kind for action in result.timeline.actions} == {"F"}


def test_inputs_alone_are_enough_and_several_steps_give_several_outputs() -> None:
    stages = linears(2)
    steps = [vectors(4)[0] * factor for factor in (1, 2, 3)]
    result = run(forward_only(one_f_one_b(2, 2)), stages, steps)
    assert len(result.outputs) == 3
    for output, inputs in zip(result.outputs, steps, strict=True):
        torch.testing.assert_close(output, alone(stages, inputs), rtol=0, atol=1e-6)
    assert result.losses == ()
    assert result.outputs_equal
    assert len(run(forward_only(gpipe(2, 2)), stages, steps[0], steps=2, check=False).outputs) == 2


def test_token_ids_through_a_transformer() -> None:
    stages = transformer_stages(3, width=16, layers=4)
    [(inputs, targets)] = batches(4, 16)
    result = run(forward_only(gpipe(3, 2)), stages, [(inputs, targets)])
    torch.testing.assert_close(result.outputs[0], alone(stages, inputs), rtol=0, atol=1e-5)
    assert result.outputs_equal
    assert len(result.losses) == 1


def test_layers_know_that_it_is_no_training() -> None:
    """Dropout passes everything, and batch norm learns nothing."""
    stages = [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.9), nn.BatchNorm1d(WIDTH)) for _ in range(2)]
    inputs = vectors(8)[0]
    result = run(forward_only(gpipe(2, 4)), stages, inputs)
    torch.testing.assert_close(result.outputs[0], alone(stages, inputs), rtol=0, atol=1e-6)


def test_one_number_per_micro_batch() -> None:
    class Total(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sum()

    inputs = vectors(6)[0]
    result = run(forward_only(gpipe(2, 3)), [nn.Identity(), Total()], inputs)
    torch.testing.assert_close(result.outputs[0], inputs.view(3, -1).sum(1))


def test_outputs_may_be_whole_numbers() -> None:
    """They are not sent to another stage."""

    class Choice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.argmax(-1)

    inputs = vectors(6)[0]
    result = run(forward_only(gpipe(2, 3)), [nn.Identity(), Choice()], inputs)
    assert torch.equal(result.outputs[0], inputs.argmax(-1))
    assert result.outputs_equal


def test_an_output_that_differs_is_noticed() -> None:
    """A stage that remembers: its fourth call in one process is its first on a fresh rank, and so on."""

    class Counting(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Counting.calls += 1
            return x * Counting.calls

    result = run(forward_only(gpipe(2, 2)), [Counting(), Counting()], vectors(4)[0])
    assert result.outputs_equal is False
    assert result.max_output_error is not None
    assert result.max_output_error > 0.1


def test_paced() -> None:
    result = run(forward_only(gpipe(2, 3)), linears(2), vectors(6)[0], pace=Costs(20, 20, 20))
    assert result.simulated_makespan_ms == 80
    assert result.outputs_equal
    assert result.paced


def test_lowered_before_or_after() -> None:
    schedule = one_f_one_b(3, 4)
    assert lower(forward_only(schedule)).num_ranks == 3
    assert forward_only(lower(schedule)).programs[0][0].kind == "F"


def test_training_needs_targets() -> None:
    with pytest.raises(ValueError, match=r"training needs batches of \(inputs, targets\); got inputs only"):
        run(gpipe(2, 2), linears(2), vectors(4)[0], loss=mse)
