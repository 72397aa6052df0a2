"""A forward and a backward take turns, so that each computes while the other's rows travel.

Both are coroutines. A forward runs its module's segments and pauses (``yield``) whenever it has let rows go:

    attention · dispatch >> · pause · experts · combine >> · pause · sum

A backward goes through them in reverse. What it owes the weights it does after letting go, while the rows travel:

    sum · combine >> · pause · experts · dispatch >> · experts' weights · pause · attention · attention's weights

`take_turns`, with the backward first, then gives for each layer the order of DeepSeek's profile: on the compute stream
attention(F) experts(B) experts(W) experts(F) attention(B) attention(W), on the comm stream combine(B) dispatch(F)
dispatch(B) combine(F).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..autograd.graph import walk
from ..autograd.saved_tensors import ActivationBytes
from ..autograd.split_backward import SplitBackward
from ..simulator.pair_timing import SegmentCosts, Turns, take_turns
from .segmented import Exchange, Segmented, Segments
from .streams import Streams

LAST = "sum"  # what the segment after the last exchange is called

__all__ = ["SegmentedPass", "Turns", "take_turns"]


class SegmentedPass:
    """One micro-batch on its way through a segmented module, and back: one `forward`, then one `backward`.

    Parameters
    ----------
    module : Segmented
    streams : Streams
        Where its segments run.
    training : bool
        False: nothing is kept for a backward.
    seconds : SegmentCosts, optional
        What its segments are held to. What follows the last exchange only sums up, and is given no time.
    counter : ActivationBytes, optional
        Counts the bytes that are kept for the backward.

    Attributes
    ----------
    early : dict of Tensor to str
        Parameter -> why its gradient is not left for the weights' part; see `SplitBackward`.

    Examples
    --------
    >>> from torch import nn
    >>> from pipelab.overlap.segmented import SegmentedSequence
    >>> layer, x = SegmentedSequence(nn.Linear(3, 2)), torch.ones(1, 3)
    >>> there_and_back = SegmentedPass(layer, Streams())
    >>> [y] = take_turns(there_and_back.forward(x))
    >>> [dx] = take_turns(there_and_back.backward(torch.ones(1, 2)))
    >>> y.shape, dx.shape, layer.layers[0].weight.grad.shape
    (torch.Size([1, 2]), torch.Size([1, 3]), torch.Size([2, 3]))
    """

    def __init__(
        self,
        module: Segmented,
        streams: Streams,
        training: bool = True,
        seconds: SegmentCosts | None = None,
        counter: ActivationBytes | None = None,
    ) -> None:
        self.module, self.streams, self.training, self.seconds = module, streams, training, seconds
        self.counter = counter
        self.segments: list[_Segment] = []
        self.owed: list[_Segment] = []  # whose weights' gradients are still to be computed
        self.early: dict[Tensor, str] = {}

    def forward(self, x: Tensor, finish: Callable[[Tensor], Tensor] | None = None) -> Turns[Tensor]:
        """The output, without its graph. finish: also done to it, as part of the last segment, such as the loss."""
        segments: Segments | None = None

        def go_on(inputs: tuple[Tensor, ...]) -> Exchange | Tensor:
            nonlocal segments
            try:
                if segments is None:
                    segments = self.module.segments(*inputs)
                    return next(segments)
                return segments.send(inputs)
            except StopIteration as end:
                return finish(end.value) if finish else end.value

        came: tuple[Tensor, ...] = (x,)
        while True:
            segment = _Segment(came, self.training, self.counter)
            seconds = self._seconds("forward", last=0 < self.module.exchanges == len(self.segments))
            made = self.streams.compute("F", lambda s=segment: s.run(go_on), _ended, seconds)  # type: ignore[misc]
            self._require(segment, made)
            self.segments.append(segment)
            if isinstance(made, Tensor):
                return made.detach()
            flight = self.streams.start(made, "F", self._seconds("forward_exchange"))
            carried, made = made.carry, None
            yield
            came = (flight.wait(), *carried)

    def backward(self, gradient: Tensor | None, weights: bool = True) -> Turns[Tensor | None]:
        """The input's gradient; None if it needs none. gradient: the output's; None for a loss, which is one number.

        weights   False: leave the weights' gradients to `weight_gradients`
        """
        gradients: tuple[Tensor | None, ...] = (gradient,)
        while True:
            segment = self.segments.pop()
            last = segment.exchange is None and bool(self.segments)
            seconds = self._seconds("backward_input", last)
            work = partial(segment.input_gradients, gradients)
            gradients = self.streams.compute("B", work, segment.name, seconds)
            self.early |= segment.split.early
            segment.weight_seconds = self._seconds("backward_weight", last)
            self.owed.append(segment)
            flight = None
            if self.segments:
                arrived = self.segments[-1].exchange
                assert arrived is not None
                flight = self.streams.start(arrived.twin(gradients[0]), "B", self._seconds("backward_exchange"))
            if weights:
                self.weight_gradients()
            if flight is None:
                return gradients[0]
            yield
            gradients = (flight.wait(), *gradients[1:])

    def weight_gradients(self) -> None:
        """Add to the parameters' gradients what is still owed to them."""
        for segment in self.owed:
            self.streams.compute("W", segment.split.weight_gradients, segment.name, segment.weight_seconds)
        self.owed.clear()

    def _seconds(self, what: str, last: bool = False) -> float | None:
        return None if self.seconds is None else 0.0 if last else getattr(self.seconds, what)

    def _require(self, segment: _Segment, made: Exchange | Tensor) -> None:
        """ValueError for segments that don't do what they declare. Looked at once for each module."""
        if self.module.checked:
            return
        segment.require_separate(type(self.module).__name__)
        if isinstance(made, Exchange):
            made.require_agreement()
        else:
            if len(self.segments) != self.module.exchanges:
                raise ValueError(
                    f"{type(self.module).__name__} declares {self.module.exchanges} exchanges, but its segments yield "
                    f"{len(self.segments)}: set `exchanges` to this number"
                )
            self.module.checked = True


def _ended(made: Exchange | Tensor) -> str:
    """What a segment of a forward is called: as the exchange says that ended it."""
    return made.segment if isinstance(made, Exchange) else LAST


class _Segment:
    """The computation between two pauses, with a graph of its own.

    What comes in passes a gate, which needs a ticket, the only leaf; what goes out passes another, as one number. So it
    has one input and one output, whatever the number of tensors, as `SplitBackward` wants it.
    """

    def __init__(self, came: tuple[Tensor, ...], training: bool, counter: ActivationBytes | None) -> None:
        self.came, self.training = came, training
        self.split = SplitBackward(counter)
        self.ticket = torch.zeros((), requires_grad=training)
        self.into: list[Tensor | None] = [None] * len(came)  # gradients of what came in
        self.out: list[Tensor | None] = []  # gradients of what went out
        self.exchange: Exchange | None = None  # that ended it
        self.weight_seconds: float | None = None

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
