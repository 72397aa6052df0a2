"""A forward and a backward of segmented modules on one rank: each computes while the other's rows travel.

A pass through a module goes from segment to segment, a computation and an exchange in turn:

    attention · dispatch >> · experts · combine >> · sum

A backward goes through them in reverse. What it owes the weights it may do at any time after what it owes the input:

    sum · combine >> · experts, experts' weights · dispatch >> · attention, attention's weights

In which order the two of a pair do theirs is data, a :class:`pipelab.ir.SegmentOrder`, and `run_segments` does exactly
that. The simulator times a pair by the same program, played by the same function.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Protocol

from torch import Tensor

from ..autograd.saved_tensors import ActivationBytes
from ..ir.pair_program import TwoStreams, pair_program, play
from ..ir.segments import LAST, ORDERS, Segment, SegmentOrder
from ..simulator.pair_timing import SegmentCosts
from .segment_graph import SegmentGraph
from .segmented import Exchange, Segmented, Segments
from .streams import Flight, Streams


class Pass(TwoStreams, Protocol):
    """A forward or a backward through a stage, segment by segment."""

    exchanges: int


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
    output : Tensor
        Of the forward, without its graph.
    gradient : Tensor or None
        Of the input, once the backward is over; None if it needs none.
    early : dict of Tensor to str
        Parameter -> why its gradient is not left for the weights' part; see `SplitBackward`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from pipelab.overlap.segmented import SegmentedSequence
    >>> layer, x = SegmentedSequence(nn.Linear(3, 2)), torch.ones(1, 3)
    >>> there_and_back = SegmentedPass(layer, Streams())
    >>> there_and_back.forward(x).shape, there_and_back.backward(torch.ones(1, 2)).shape
    (torch.Size([1, 2]), torch.Size([1, 3]))
    >>> layer.layers[0].weight.grad.shape
    torch.Size([2, 3])
    """

    output: Tensor
    gradient: Tensor | None

    def __init__(
        self,
        module: Segmented,
        streams: Streams,
        *,
        training: bool = True,
        seconds: SegmentCosts | None = None,
        counter: ActivationBytes | None = None,
    ) -> None:
        self.module, self.streams, self.training, self.seconds = module, streams, training, seconds
        self.counter, self.exchanges = counter, module.exchanges
        self.segments: list[SegmentGraph] = []
        self.owed: dict[Segment, SegmentGraph] = {}  # whose weights' gradients are still to be computed
        self.early: dict[Tensor, str] = {}
        self.flight: Flight | None = None

    def begin(self, x: Tensor, *, finish: Callable[[Tensor], Tensor] | None = None) -> None:
        """Let a forward begin with its input. finish: also done to the output, as part of the last segment."""
        self.came: tuple[Tensor, ...] = (x,)
        self.finish = finish
        self.generator: Segments | None = None

    def begin_backward(self, gradient: Tensor | None) -> None:
        """Let a backward begin with the output's gradient; None for a loss, which is one number."""
        self.gradients: tuple[Tensor | None, ...] = (gradient,)
        del self.output  # between I and W it would only take room

    def forward(self, x: Tensor, *, finish: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """All of a forward, by itself."""
        self.begin(x, finish=finish)
        run_segments(forward=self)
        return self.output

    def backward(self, gradient: Tensor | None, *, weights: bool = True) -> Tensor | None:
        """All of a backward, by itself. weights: False leaves their gradients to `weight_gradients`."""
        self.begin_backward(gradient)
        run_segments(backward=self, weights=weights)
        return self.gradient

    def weight_gradients(self) -> None:
        """Add to the parameters' gradients what is still owed to them."""
        for segment in [*self.owed]:
            self.compute(segment)

    # -- segment by segment: see pipelab.ir.pair_program.TwoStreams --------------------------------------------------

    def compute(self, segment: Segment) -> None:
        if segment.direction == "F":
            self._compute_forward(segment)
        elif segment.direction == "W":
            owed = self.owed.pop(segment)
            self.streams.compute("W", owed.split.weight_gradients, owed.name, self._seconds(segment))
        else:
            self._compute_backward(segment)

    def start(self, segment: Segment) -> None:
        if segment.direction == "F":
            exchange, self.carried = self.sending, self.sending.carry
            del self.sending
        else:
            arrived = self.segments[-1].exchange
            assert arrived is not None
            exchange, self.gradients = arrived.twin(self.gradients[0]), self.gradients[1:]
        self.flight = self.streams.start(exchange, segment.direction, self._seconds(segment))

    def arrive(self, segment: Segment) -> None:
        assert self.flight is not None
        rows = self.flight.wait()
        if segment.direction == "F":
            self.came = (rows, *self.carried)
        else:
            self.gradients = (rows, *self.gradients)
        self.flight = None

    def _compute_forward(self, segment: Segment) -> None:
        now = SegmentGraph(self.came, self.training, self.counter)
        del self.came
        made = self.streams.compute("F", lambda: now.run(self._go_on), _ended, self._seconds(segment))
        self.segments.append(now)
        self._require(now, made)
        if isinstance(made, Exchange):
            self.sending = made
        else:
            self.output = made.detach()

    def _go_on(self, inputs: tuple[Tensor, ...]) -> Exchange | Tensor:
        """The module's own computation, up to its next exchange."""
        try:
            if self.generator is None:
                self.generator = self.module.segments(*inputs)
                return next(self.generator)
            return self.generator.send(inputs)
        except StopIteration as end:
            return self.finish(end.value) if self.finish else end.value

    def _compute_backward(self, segment: Segment) -> None:
        now = self.segments.pop()

        def work(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
            found = now.input_gradients(gradients)
            if segment.direction == "BW":
                now.split.weight_gradients()
            return found

        given, self.gradients = self.gradients, ()
        self.gradients = self.streams.compute(segment.direction, partial(work, given), now.name, self._seconds(segment))
        self.early |= now.split.early
        if segment.direction == "B":
            self.owed[segment._replace(direction="W")] = now
        if not self.segments:
            self.gradient = self.gradients[0]

    def _seconds(self, segment: Segment) -> float | None:
        return None if self.seconds is None else self.seconds.cost(segment)

    def _require(self, segment: SegmentGraph, made: Exchange | Tensor) -> None:
        """ValueError for segments that don't do what they declare. What they send is looked at once for each module."""
        done, name = len(self.segments), type(self.module).__name__
        if not self.module.checked:
            segment.require_separate(name)
            if isinstance(made, Exchange):
                made.require_agreement()
        if isinstance(made, Exchange) == (done > self.exchanges):
            yields = "more" if isinstance(made, Exchange) else str(done - 1)
            raise ValueError(
                f"{name} declares {self.exchanges} exchanges, but its segments yield {yields}: set `exchanges` to "
                "their number"
            )
        self.module.checked |= isinstance(made, Tensor)


def run_segments(
    order: SegmentOrder = ORDERS["deepseek"],
    *,
    forward: Pass | None = None,
    backward: Pass | None = None,
    weights: bool = True,
) -> None:
    """Do a forward, a backward, or both as a pair, in this order of their segments. Both have begun.

    Parameters
    ----------
    order : SegmentOrder
        Its names stand for places: a layer is a computation, an exchange, another of each, whatever a module calls
        them.
    forward, backward : SegmentedPass, optional
        Other things that do segments will do, too.
    weights : bool
        False: the backward leaves its weights' gradients for later.

    Examples
    --------
    >>> import torch
    >>> from pipelab.overlap.segmented import SegmentedSequence
    >>> layer, x = SegmentedSequence(torch.nn.Linear(3, 2)), torch.ones(1, 3)
    >>> before, after = (SegmentedPass(layer, Streams()) for _ in range(2))
    >>> gradient = before.forward(x)
    >>> before.begin_backward(gradient)
    >>> after.begin(x)
    >>> run_segments(forward=after, backward=before)
    >>> after.output.shape, before.gradient.shape
    (torch.Size([1, 2]), torch.Size([1, 3]))
    """
    exchanges = [None if each is None else each.exchanges for each in (forward, backward)]
    play(pair_program(order, *exchanges, weights), _Pair(forward, backward))


class _Pair:
    """Each segment is done by the pass that it belongs to."""

    def __init__(self, forward: Pass | None, backward: Pass | None) -> None:
        self.passes = {"F": forward, "B": backward, "W": backward, "BW": backward}

    def compute(self, segment: Segment) -> None:
        self._of(segment).compute(segment)

    def start(self, segment: Segment) -> None:
        self._of(segment).start(segment)

    def arrive(self, segment: Segment) -> None:
        self._of(segment).arrive(segment)

    def _of(self, segment: Segment) -> Pass:
        found = self.passes[segment.direction]
        assert found is not None  # a program has segments only of passes that are there
        return found


def _ended(made: Exchange | Tensor) -> str:
    """What a segment of a forward is called: as the exchange says that ended it."""
    return made.segment if isinstance(made, Exchange) else LAST
