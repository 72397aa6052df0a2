"""Segments, simulated: what a forward, a backward and an overlapped pair of them take on two streams.

A stage's forward is `exchanges` computations, each followed by an exchange, which the next computation needs; its
backward is the same way back, where each computation's part for the weights comes after the exchange has started. The
coroutines here pause where the real ones of :mod:`pipelab.overlap.interleave` do, and both are driven by `take_turns`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from ..amounts import divided
from ..ir import Action, Schedule, at_least
from ..timeline import Span, Timeline
from .costs import Costs

_Result = TypeVar("_Result")
Turns = Generator[None, None, _Result]  # a coroutine that pauses while its rows travel


def take_turns(*coroutines: Turns[Any]) -> list[Any]:
    """Each in turn as far as its next pause, until all are over; what they return."""
    results: list[Any] = [None] * len(coroutines)
    running = dict(enumerate(coroutines))
    while running:
        for number, coroutine in list(running.items()):
            try:
                next(coroutine)
            except StopIteration as end:
                results[number] = end.value
                del running[number]
    return results


class SegmentCosts(NamedTuple):
    """What segments cost: the F, I and W of one computation, and one exchange in F and in B."""

    forward: Any
    backward_input: Any
    backward_weight: Any
    forward_exchange: Any
    backward_exchange: Any

    @classmethod
    def of(cls, costs: Costs, stage: int, exchanges: int) -> SegmentCosts:
        """A stage's costs, dealt evenly to its computations and its exchanges.

        Examples
        --------
        >>> SegmentCosts.of(Costs(4, 8, 4, forward_comm=8, backward_input_comm=12), 0, exchanges=4)
        SegmentCosts(forward=1, backward_input=2, backward_weight=1, forward_exchange=2, backward_exchange=3)
        """
        at_least(0, exchanges, "exchanges")
        (f, f_comm), (i, i_comm), (w, w_comm) = (costs.split(kind, stage) for kind in "FIW")
        if not exchanges:  # there is nothing else that it could be
            f, i, w = f + f_comm, i + i_comm, w + w_comm
        return cls(*(divided(cost, max(1, exchanges)) for cost in (f, i, w, f_comm, i_comm + w_comm)))

    def scaled(self, factor: float) -> SegmentCosts:
        """In another unit."""
        return SegmentCosts(*(float(cost) * factor for cost in self))


@dataclass(frozen=True)
class PairTimes:
    """What one stage takes, in the unit of its costs.

    Attributes
    ----------
    forward, backward : number
        Each alone; the weights' part of the backward may hide an exchange.
    serial : number
        Both, with every exchange waited for at once: the sum of everything.
    overlapped : number
        Both as one action.
    exposed : number
        Communication of the overlapped pair that no computation hides.
    timeline : Timeline
        Of the overlapped pair: F, I and W as they take turns.
    """

    forward: Any
    backward: Any
    serial: Any
    overlapped: Any
    exposed: Any
    timeline: Timeline


def pair_times(costs: Costs, exchanges: int, stage: int = 0) -> PairTimes:
    """Simulate one stage's forward and backward, segment by segment.

    The pair comes near to the larger of all computation and all communication, which is what :class:`Costs` takes it
    to be: it takes longer by what the first and the last exchange have nothing to hide behind.

    Parameters
    ----------
    costs : Costs
        Of the whole stage.
    exchanges : int
        In a forward, and as many in a backward: 2 in each MoE layer.
    stage : int

    Examples
    --------
    >>> times = pair_times(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12), exchanges=8)
    >>> times.serial, times.overlapped, times.exposed
    (48, Fraction(49, 2), Fraction(1, 2))
    """
    segments = SegmentCosts.of(costs, stage, exchanges)
    f, b = Action("F", stage, 1), Action("B", stage, 0)
    forward, backward = _Clock(), _Clock()
    take_turns(forward.forward(f, segments, exchanges))
    take_turns(backward.backward(b, segments, exchanges))
    timeline = _pair(Action.overlap(f, b), costs, {stage: exchanges})
    serial = costs.duration("F", stage) + costs.duration("B", stage)
    exposed = timeline.exposed_communication[0]
    return PairTimes(forward.compute, backward.compute, serial, timeline.makespan, exposed, timeline)


def with_segments(costs: Costs, schedule: Schedule, exchanges: Mapping[int, int], overlap: bool = True) -> Costs:
    """Costs for a schedule whose stages have so many exchanges each: a pair takes what its segments take in turns.

    Parameters
    ----------
    costs : Costs
    schedule : Schedule
    exchanges : mapping of int to int
        Stage -> how many. Pairs of stages that are not in it cost what they did.
    overlap : bool
        False: every exchange is waited for at once, so that a pair takes F + B.

    Examples
    --------
    >>> from pipelab.schedules import dualpipe
    >>> costs = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12)
    >>> with_segments(costs, dualpipe(2, 8), {0: 8, 1: 8}).overlapped
    (Fraction(49, 2), Fraction(49, 2))
    >>> with_segments(costs, dualpipe(2, 8), {0: 8, 1: 8}, overlap=False).overlapped
    (48, 48)
    """
    pairs = {action.stage: action for program in schedule.programs for action in program if action.parts}
    if not pairs:
        return costs
    takes: list[Any] = [0] * schedule.num_stages  # a stage whose forward is in no pair needs none
    for stage, pair in pairs.items():
        forward, backward = pair.parts
        takes[stage] = costs.pair(stage, backward.kind, backward.stage)
        if not exchanges.keys() & {stage, backward.stage}:
            continue
        serial = costs.duration("F", stage) + costs.duration(backward.kind, backward.stage)
        takes[stage] = _pair(pair, costs, exchanges).makespan if overlap else serial
    return replace(costs, overlapped=takes)


def _pair(pair: Action, costs: Costs, exchanges: Mapping[int, int]) -> Timeline:
    """A forward and a backward that take turns, the backward first."""
    clock, (forward, backward) = _Clock(), pair.parts
    first, second = (exchanges.get(part.stage, 0) for part in (backward, forward))
    take_turns(
        clock.backward(backward, SegmentCosts.of(costs, backward.stage, first), first),
        clock.forward(forward, SegmentCosts.of(costs, forward.stage, second), second),
    )
    return Timeline.from_spans(clock.spans, "overlapped", 1, unit=costs.unit)


class _Clock:
    """Two streams, each with the time up to which it is busy."""

    def __init__(self) -> None:
        self.compute = self.comm = 0
        self.spans: list[Span] = []

    def _work(self, part: Action, cost: Any) -> None:
        start, self.compute = self.compute, self.compute + cost
        if cost:
            self.spans.append(Span(0, "compute", part, start, self.compute))

    def _start(self, part: Action, cost: Any) -> Any:
        """When an exchange that is started now will have arrived."""
        start = max(self.compute, self.comm)
        self.comm = start + cost
        if cost:
            self.spans.append(Span(0, "comm", part, start, self.comm))
        return self.comm

    def forward(self, action: Action, segments: SegmentCosts, exchanges: int) -> Turns[None]:
        for _ in range(exchanges):
            self._work(action, segments.forward)
            come = self._start(action, segments.forward_exchange)
            yield
            self.compute = max(self.compute, come)
        if not exchanges:
            self._work(action, segments.forward)

    def backward(self, action: Action, segments: SegmentCosts, exchanges: int) -> Turns[None]:
        inputs, weights = (Action(kind, action.stage, action.microbatch) for kind in "IW")
        for number in range(max(1, exchanges)):
            if exchanges:
                come = self._start(inputs, segments.backward_exchange)
                if number:
                    self._work(weights, segments.backward_weight)
                yield
                self.compute = max(self.compute, come)
            self._work(inputs, segments.backward_input)
        self._work(weights, segments.backward_weight)
