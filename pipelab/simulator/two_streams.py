"""Two streams, simulated: when each segment of a pair's program begins and ends. All that times a pair asks here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..ir.pair_program import PairProgram, play
from ..ir.segments import Segment


class Timed(NamedTuple):
    """A segment, and from when to when."""

    segment: Segment
    start: Any
    end: Any


def timed(program: PairProgram, cost: Callable[[Segment], Any]) -> list[Timed]:
    """Every segment as soon as it can begin, in the order in which they begin to be done.

    >>> from pipelab.ir.pair_program import pair_program
    >>> from pipelab.ir.segments import SegmentOrder
    >>> program = pair_program(SegmentOrder.of("deepseek"), forward=1, backward=None)
    >>> timed(program, lambda segment: 2)
    [Timed(segment=attention(F)0, start=0, end=2), Timed(segment=dispatch(F)0, start=2, end=4), \
Timed(segment=sum(F)0, start=4, end=6)]
    """
    clock = _Clock(cost)
    play(program, clock)
    return list(clock.done.values())


def unbroken(computation: Any, communication: Any) -> Any:
    """How long a pair takes of which only its sums are known: each stream works without a break.

    >>> unbroken(24, 30)
    30
    """
    compute, communicate = Segment("experts", ""), Segment("combine", "")
    program = PairProgram((compute,), (communicate,), needs={})
    costs = {compute: computation, communicate: communication}
    return max(segment.end for segment in timed(program, costs.__getitem__))


class _Clock:
    """For each stream, how long it is busy."""

    def __init__(self, cost: Callable[[Segment], Any]) -> None:
        self.cost = cost
        self.computes_until = self.communicates_until = 0
        self.done: dict[Segment, Timed] = {}

    def compute(self, segment: Segment) -> None:
        start, self.computes_until = self.computes_until, self.computes_until + self.cost(segment)
        self.done[segment] = Timed(segment, start, self.computes_until)

    def start(self, segment: Segment) -> None:
        start = max(self.computes_until, self.communicates_until)
        self.communicates_until = start + self.cost(segment)
        self.done[segment] = Timed(segment, start, self.communicates_until)

    def arrive(self, segment: Segment) -> None:
        self.computes_until = max(self.computes_until, self.done[segment].end)
