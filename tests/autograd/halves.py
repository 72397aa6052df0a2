"""A backward as a whole and in two halves, and what each of them shows."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from pipelab.autograd.saved_tensors import ActivationBytes
from pipelab.autograd.split_backward import SplitBackward

TOLERANCE = 1e-10  # relative, in float64
Gradients = dict[str, Tensor | None]  # of parameters, by name


@dataclass
class Split:
    """What a split backward showed."""

    split: SplitBackward
    flops: tuple[int, int]  # of I and W
    kept: tuple[int, int, int]  # bytes: after F, I and W; none where they are not counted
    counter: ActivationBytes
    after_input: Gradients  # parameters' gradients after I
    gradients: Gradients
    received: Tensor | None


def fresh_input(x: Tensor) -> Tensor:
    return x.clone().requires_grad_(x.is_floating_point())


def _forward(stage: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(4)
    return stage(x)


def output_gradient(output: Tensor) -> Tensor:
    return torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(5))


def _gradients(stage: nn.Module) -> Gradients:
    return {name: None if p.grad is None else p.grad.clone() for name, p in stage.named_parameters()}


@contextmanager
def flops():
    found: list[int] = []
    with FlopCounterMode(display=False) as counter:
        yield found
    found.append(counter.get_total_flops())


def whole(make: Callable[[], nn.Module], x: Tensor, times: int = 1) -> tuple[int, Gradients, Tensor | None]:
    """(FLOPs, parameters' gradients, input's gradient) of plain backwards: the oracle."""
    torch.manual_seed(0)
    stage = make().double()
    for _ in range(times):
        received = fresh_input(x)
        output = _forward(stage, received)
        with flops() as counted:
            if output.requires_grad:
                output.backward(output_gradient(output))
    return counted[0], _gradients(stage), received.grad


WAYS = ("counted", "boxed", "bare")


def split(make: Callable[[], nn.Module], x: Tensor, times: int = 1, way: str = "counted") -> Split:
    """way: whether what is kept is counted, put into boxes at least, or left to autograd."""
    torch.manual_seed(0)
    stage = make().double()
    for _ in range(times):
        received = fresh_input(x)
        counter = ActivationBytes([*stage.parameters()])
        halves = SplitBackward(counter=counter if way == "counted" else None, boxes=way != "bare")
        with halves.keeping():
            output = _forward(stage, received)
        kept = [counter.now]
        with flops() as of_input:
            halves.input_gradient(output, output_gradient(output), received)
        del output
        kept.append(counter.now)
        after_input = _gradients(stage)
        with flops() as of_weights:
            halves.weight_gradients()
        kept.append(counter.now)
    counted = (of_input[0], of_weights[0])
    return Split(halves, counted, tuple(kept), counter, after_input, _gradients(stage), received.grad)


def same(actual: Tensor | None, wanted: Tensor | None) -> bool:
    if actual is None or wanted is None:
        return actual is wanted
    return bool((actual - wanted).abs().max() <= TOLERANCE * max(1e-3, float(wanted.abs().max())))
