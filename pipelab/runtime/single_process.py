"""The same in one process, and how far the pipeline's gradients or outputs are from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..overlap.segmented import outermost
from .executor import seed_microbatch
from .job import ReferenceCheck

if TYPE_CHECKING:
    from .job import Batch, Loss, Optimizer

Gradients = dict[tuple[int, str], torch.Tensor]  # (stage, parameter name) -> gradient
Outputs = dict[int, torch.Tensor]  # micro-batch -> the last stage's output


def gradients_of(stages: Iterable[tuple[int, nn.Module]]) -> Gradients:
    """Copies of all stages' gradients; one that nothing flowed into counts as zero."""
    return {
        (stage, name): torch.zeros_like(p) if p.grad is None else p.grad.detach().clone()
        for stage, module in stages
        for name, p in module.named_parameters()
        if p.requires_grad
    }


def train_in_one_process(
    modules: Sequence[nn.Module],
    batches: Sequence[Batch],
    microbatches: int,
    loss: Loss,
    optimizer: Optimizer,
    seed: int,
) -> tuple[list[float], Gradients]:
    """(loss of each step, gradients of the first): all stages one after the other, micro-batch by micro-batch."""
    optimizers = make_optimizers(modules, optimizer)
    losses: list[float] = []
    gradients: Gradients = {}
    for step, (inputs, targets) in enumerate(batches):
        assert targets is not None  # `run` has seen to it
        total = 0.0
        for m, (x, target) in enumerate(zip(inputs.chunk(microbatches), targets.chunk(microbatches), strict=True)):
            share = loss(_forward(modules, x, seed, step, m), target) / microbatches
            if share.requires_grad:
                share.backward()
            total += float(share.detach())
        losses.append(total)
        if not gradients:
            gradients = gradients_of(enumerate(modules))
        end_step(modules, optimizers)
    return losses, gradients


def _forward(modules: Iterable[nn.Module], x: torch.Tensor, seed: int, step: int, microbatch: int) -> torch.Tensor:
    """One micro-batch through all stages."""
    for stage, module in enumerate(modules):
        seed_microbatch(seed, step, stage, microbatch)
        x = module(x)
    return x


def end_step(modules: Iterable[nn.Module], optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """What is to be done with the gradients of a step."""
    for module in modules:
        for segmented in outermost(module):
            segmented.end_step()
    for each in optimizers:
        each.step()
        each.zero_grad()


@torch.no_grad()
def infer_in_one_process(
    modules: Sequence[nn.Module], batches: Sequence[Batch], microbatches: int, loss: Loss, seed: int
) -> tuple[list[float], list[Outputs]]:
    """(loss of each step, if there are targets; outputs of each step): forward only, micro-batch by micro-batch."""
    losses: list[float] = []
    outputs: list[Outputs] = []
    for step, (inputs, targets) in enumerate(batches):
        outputs.append({})
        for m, x in enumerate(inputs.chunk(microbatches)):
            outputs[-1][m] = _forward(modules, x, seed, step, m)
        if targets is not None:
            shares = zip(outputs[-1].values(), targets.chunk(microbatches), strict=True)
            losses.append(sum(float(loss(output, target)) / microbatches for output, target in shares))
    return losses, outputs


def make_optimizers(modules: Sequence[nn.Module], optimizer: Optimizer) -> list[torch.optim.Optimizer]:
    """One per stage that has anything to learn."""
    learning = ([p for p in module.parameters() if p.requires_grad] for module in modules)
    return [optimizer(parameters) for parameters in learning if parameters]


def compare_training(
    gradients: Gradients, expected: Gradients, losses: Sequence[float], expected_losses: Sequence[float]
) -> ReferenceCheck:
    """Per parameter: largest difference / largest expected value.

    No parameter's scale counts as less than a thousandth of the whole model's largest gradient: a gradient that should
    vanish would have none of its own.
    """
    least = max((float(g.abs().max()) for g in expected.values() if g.numel()), default=0.0) / 1000
    errors = {
        f"stage {stage}: {name}": _difference(gradients[stage, name], wanted, least)
        for (stage, name), wanted in expected.items()
        if wanted.numel()
    }
    error = _largest(errors.values())
    worst = next((name for name, each in errors.items() if each and (each == error or each != each)), "")
    return ReferenceCheck(gradient=error, loss=_loss_error(losses, expected_losses), worst=worst)


def compare_inference(
    outputs: Sequence[Outputs], expected: Sequence[Outputs], losses: Sequence[float], expected_losses: Sequence[float]
) -> ReferenceCheck:
    """Per step: largest difference / largest expected value; losses only where there are any."""
    errors: list[float] = []
    for step, wanted in zip(outputs, expected, strict=True):
        scale = max(float(output.double().abs().max()) for output in wanted.values())
        errors += [_difference(step[m], output, scale) for m, output in wanted.items()]
    return ReferenceCheck(
        output=_largest(errors), loss=_loss_error(losses, expected_losses) if expected_losses else None
    )


def _difference(actual: torch.Tensor, wanted: torch.Tensor, least: float) -> float:
    """Largest difference, relative to the largest value wanted, or to `least` if that is more."""
    actual, wanted = actual.to(wanted.device, torch.float64), wanted.double()
    scale = max(float(wanted.abs().max()), least)
    difference = float((actual - wanted).abs().max())
    return difference / scale if scale else difference


def _loss_error(losses: Sequence[float], expected: Sequence[float]) -> float:
    return _largest(abs(a - b) / max(abs(b), 1e-30) for a, b in zip(losses, expected, strict=True))


def _largest(errors: Iterable[float]) -> float:
    """NaN if one is: nothing equals it."""
    found = list(errors)
    return math.nan if any(map(math.isnan, found)) else max(found, default=0.0)
