"""Plain pass: a micro-batch's way through an ordinary module and back, as a pass with no exchange."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from ..autograd.split_backward import SplitBackward
from ..ir.segments import Segment


class PlainPass:
    """One computation each way; see :class:`pipelab.overlap.SegmentedPass`, of which it is the simplest case.

    split: where the backward comes as I and W. Else it comes as a whole, and nothing is left for the weights.
    """

    exchanges = 0
    output: Tensor  # with its graph
    gradient: Tensor | None

    def __init__(self, module: nn.Module, training: bool, split: SplitBackward | None) -> None:
        self.module, self.training, self.split = module, training, split

    @property
    def once(self) -> bool:
        return self.split is not None and self.split.once

    @property
    def early(self) -> dict[Tensor, str]:
        return self.split.early if self.split else {}

    def begin(self, received: Tensor, finish: Callable[[Tensor], Tensor], *, differentiate: bool) -> None:
        """differentiate: is the input's gradient wanted?"""
        self.received = received.detach().requires_grad_() if differentiate else received
        self.finish = finish

    def begin_backward(self, gradient: Tensor | None) -> None:
        self.output_gradient = gradient

    def compute(self, segment: Segment) -> None:
        if segment.direction == "F":
            with torch.set_grad_enabled(self.training), self.split.keeping() if self.split else nullcontext():
                self.output = self.finish(self.module(self.received))
        elif segment.direction in ("B", "BW"):
            if self.split:
                self.split.input_gradient(self.output, self.output_gradient, self.received)
            elif self.output.requires_grad:
                self.output.backward(self.output_gradient)
            self.gradient = self.received.grad
            del self.output, self.output_gradient, self.received

    def weight_gradients(self) -> None:
        """What I has left out."""
        assert self.split is not None
        self.split.weight_gradients()

    def start(self, segment: Segment) -> None:
        raise AssertionError(f"a module without exchanges has none to start: {segment}")

    def arrive(self, segment: Segment) -> None:
        raise AssertionError(f"a module without exchanges has none to wait for: {segment}")
