"""Segment graph: the computation between two exchanges, with an autograd graph of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from ..autograd.graph import walk
from ..autograd.saved_tensors import ActivationBytes
from ..autograd.split_backward import SplitBackward
from ..ir.segments import LAST
from .segmented import Exchange


class SegmentGraph:
    """The computation between two pauses, with a graph of its own.

    What comes in passes a gate, which needs a ticket, the only leaf; what goes out passes another, as one number. So it
    has one input and one output, whatever the number of tensors, as `SplitBackward` wants it.
    """

    def __init__(self, came: tuple[Tensor, ...], training: bool, counter: ActivationBytes | None) -> None:
        self.came, self.training = came, training
        self.split = SplitBackward(counter=counter)
        self.ticket = torch.zeros((), requires_grad=training)
        self.into: list[Tensor | None] = [None] * len(came)  # gradients of what came in
        self.out: list[Tensor | None] = []  # gradients of what went out
        self.exchange: Exchange | None = None  # that ended it

    def name(self, _: Any = None) -> str:
        return self.exchange.segment if self.exchange else LAST

    def run(self, work: Callable[[tuple[Tensor, ...]], Exchange | Tensor]) -> Exchange | Tensor:
        """Do the work on what came in."""
        with torch.set_grad_enabled(self.training), self.split.keeping() if self.training else nullcontext():
            inputs = _Enter.apply(self.ticket, self.into, *(tensor.detach() for tensor in self.came))
            made = work(inputs)
            outputs = (made.tensor, *made.carry) if isinstance(made, Exchange) else (made,)
            self.needed = [output.requires_grad for output in outputs]
            self.end = _Leave.apply(self.out, *(output for output in outputs if output.requires_grad))
        self.gate = next((tensor.grad_fn for tensor in inputs if tensor.grad_fn is not None), None)
        self.came = ()
        if isinstance(made, Exchange):
            self.exchange = made.bare()
        else:
            self.one = torch.ones_like(made.detach()) if made.numel() == 1 else None
        return made

    def input_gradients(self, gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        """Of what came in, from those of what went out; None where there is none."""
        if self.exchange is None and gradients[0] is None:
            gradients = (self.one,)
        self.out += [gradient for gradient, needed in zip(gradients, self.needed, strict=True) if needed]
        if self.end.requires_grad and any(gradient is not None for gradient in self.out):
            self.split.input_gradient(self.end, None, self.ticket)
        self.end = self.gate = None
        return tuple(self.into)

    def require_separate(self, who: str) -> None:
        """ValueError if gradients would flow past the gate, into an earlier segment."""
        nodes = walk(self.end.grad_fn)[0] if self.end.grad_fn is not None else ()
        if any(node.name() == f"{_Enter.__name__}Backward" and node is not self.gate for node in nodes):
            raise ValueError(
                f"{who}'s segment before {self.exchange.name if self.exchange else 'the end'} uses a tensor of an "
                "earlier segment, not what the exchange answered: put it into the Exchange's carry"
            )


class _Enter(torch.autograd.Function):
    """Tensors as they are, with a new graph that begins here. Their gradients are put down in a list."""

    @staticmethod
    def forward(ctx: Any, ticket: Tensor, into: list, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.into, ctx.ticket = into, ticket.detach()
        ctx.set_materialize_grads(False)
        views = tuple(tensor.view_as(tensor) for tensor in tensors)
        ctx.mark_non_differentiable(*(view for view in views if not view.is_floating_point()))
        return views

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        ctx.into[:] = gradients
        return ctx.ticket, None, *(None for _ in gradients)


class _Leave(torch.autograd.Function):
    """One number, 0, that depends on tensors. Their gradients are taken from a list, filled in meanwhile."""

    @staticmethod
    def forward(ctx: Any, out: list, *tensors: Tensor) -> Tensor:
        ctx.out = out
        return torch.zeros(())

    @staticmethod
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return None, *ctx.out
