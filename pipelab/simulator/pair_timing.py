"""Pair timing: what the segments of a forward, a backward and an overlapped pair of them take, in a given order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..amounts import at_least, divided
from ..ir import Action, Schedule
from ..ir.pair_program import pair_program
from ..ir.segments import ACTION_KINDS, LAST, Segment, SegmentOrder
from ..timeline import COMM, COMPUTE, Intervals, Span, Timeline
from .costs import Costs
from .two_streams import Timed, timed

Order = SegmentOrder | str | Sequence[str | Segment]  # as people give it


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
        exchanges = at_least(0, exchanges, "exchanges")
        (f, f_comm), (i, i_comm), (w, w_comm) = (costs.split(kind, stage) for kind in "FIW")
        if not exchanges:  # there is nothing else that it could be
            f, i, w = f + f_comm, i + i_comm, w + w_comm
        return cls(*(divided(cost, max(1, exchanges)) for cost in (f, i, w, f_comm, i_comm + w_comm)))

    def scaled(self, factor: float) -> SegmentCosts:
        """In another unit."""
        return SegmentCosts(*(float(cost) * factor for cost in self))

    def cost(self, segment: Segment) -> Any:
        """Of one segment. What follows the last exchange only sums up, and is given no time."""
        forward = segment.direction == "F"
        if segment.name == LAST:
            return 0
        if segment.communicates:
            return self.forward_exchange if forward else self.backward_exchange
        if segment.direction == "BW":
            return self.backward_input + self.backward_weight
        return {"F": self.forward, "B": self.backward_input, "W": self.backward_weight}[segment.direction]


class PlacedSegment(NamedTuple):
    """One segment on one stream: ("comm", "dispatch", "F", start, end)."""

    stream: str
    name: str
    direction: str
    start: Any
    end: Any


class PlacedSegments(tuple[PlacedSegment, ...]):
    """Segments in the order in which they begin, and the unit of their times."""

    unit: str

    def __new__(cls, segments: Iterable[PlacedSegment], unit: str = "") -> PlacedSegments:
        placed = super().__new__(cls, segments)
        placed.unit = unit
        return placed


def place_segments(order: Order, costs: Costs, *, layers: int = 4) -> PlacedSegments:
    """An overlapped forward and backward of a stage with so many layers: when each of their segments is done.

    Parameters
    ----------
    order : SegmentOrder, str, or sequence of str
        Such as "deepseek", or a list of a layer's segments; :class:`pipelab.ir.SegmentOrder` says what it means.
    costs : Costs
        Of the whole stage; each segment is given an equal share.
    layers : int

    Raises
    ------
    ValueError
        For an order in which a segment comes before one that it needs.

    Examples
    --------
    >>> placed = place_segments("deepseek", Costs(8, 8, 8, forward_comm=12, backward_input_comm=12))
    >>> placed[-1]
    PlacedSegment(stream='compute', name='attention', direction='W', start=Fraction(47, 2), end=Fraction(49, 2))
    """
    exchanges = 2 * at_least(1, layers, "layers")
    program = pair_program(SegmentOrder.of(order), exchanges, exchanges)
    return _placed(timed(program, SegmentCosts.of(costs, 0, exchanges).cost), costs.unit)


@dataclass(frozen=True)
class PairTimes:
    """What one stage takes, in the unit of its costs.

    Attributes
    ----------
    forward, backward : number
        Each alone, in the same order; the weights' part of the backward may hide an exchange.
    serial : number
        Both, with every exchange waited for at once: the sum of everything.
    overlapped : number
        Both as one action.
    exposed : number
        Communication of the overlapped pair that no computation hides.
    segments : tuple of PlacedSegment
        Of the overlapped pair; its `unit` is that of the costs.
    timeline : Timeline
        The same as F, I and W.
    """

    forward: Any
    backward: Any
    serial: Any
    overlapped: Any
    exposed: Any
    segments: PlacedSegments
    timeline: Timeline


def pair_times(costs: Costs, exchanges: int, *, order: Order = "deepseek", stage: int = 0) -> PairTimes:
    """Simulate one stage's forward and backward, segment by segment.

    In DeepSeek's order the pair comes near to the larger of all computation and all communication, which is what
    :class:`Costs` takes it to be: it takes longer by what the first and the last exchange have nothing to hide behind.

    Parameters
    ----------
    costs : Costs
        Of the whole stage.
    exchanges : int
        In a forward, and as many in a backward: 2 in each MoE layer.
    order : SegmentOrder, str, or sequence of str
    stage : int

    Examples
    --------
    >>> times = pair_times(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12), exchanges=8)
    >>> times.serial, times.overlapped, times.exposed
    (48, Fraction(49, 2), Fraction(1, 2))
    """
    order, exchanges = SegmentOrder.of(order), at_least(0, exchanges, "exchanges")
    segments = SegmentCosts.of(costs, stage, exchanges)
    alone = [pair_program(order, *passes) for passes in ((exchanges, None), (None, exchanges))]
    forward, backward = (timed(program, segments.cost) for program in alone)
    pair = Action.overlap(Action("F", stage, 1), Action("B", stage, 0))
    both = _timed_pair(pair, costs, {stage: exchanges}, order)
    timeline = _timeline(both, pair, costs.unit)
    return PairTimes(
        forward=_end(forward),
        backward=_end(backward),
        serial=costs.duration("F", stage) + costs.duration("B", stage),
        overlapped=_end(both),
        exposed=timeline.exposed_communication[0],
        segments=_placed(both, costs.unit),
        timeline=timeline,
    )


def with_segments(
    costs: Costs,
    schedule: Schedule,
    exchanges: Mapping[int, int],
    *,
    order: Order = "deepseek",
    overlap: bool = True,
) -> Costs:
    """Costs for a schedule whose stages have so many exchanges each: a pair takes what its segments take.

    Parameters
    ----------
    costs : Costs
    schedule : Schedule
    exchanges : mapping of int to int
        Stage -> how many. Pairs of stages that are not in it cost what they did.
    order : SegmentOrder, str, or sequence of str
        Of the segments in each pair.
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
    order = SegmentOrder.of(order)
    takes: list[Any] = [0] * schedule.num_stages  # a stage whose forward is in no pair needs none
    for stage, pair in pairs.items():
        _, backward = pair.parts
        if not exchanges.keys() & {stage, backward.stage}:
            takes[stage] = costs.pair(stage, backward.kind, backward.stage)
        elif overlap:
            takes[stage] = _end(_timed_pair(pair, costs, exchanges, order))
        else:
            takes[stage] = costs.duration("F", stage) + costs.duration(backward.kind, backward.stage)
    return replace(costs, overlapped=takes)


def exposed(placed: Iterable[tuple[str, str, str, Any, Any]]) -> Any:
    """Time in which one stream communicates and the other computes nothing."""

    def busy(segments: Sequence[tuple[str, str, str, Any, Any]]) -> Any:
        return Intervals([s[3] for s in segments], [s[4] for s in segments]).total

    placed = [*placed]
    return busy(placed) - busy([segment for segment in placed if segment[0] == COMPUTE])


def _timed_pair(pair: Action, costs: Costs, exchanges: Mapping[int, int], order: SegmentOrder) -> list[Timed]:
    """An overlapped pair's segments, where the stages of its two actions have so many exchanges."""
    forward, backward = pair.parts
    there, back = (exchanges.get(part.stage, 0) for part in pair.parts)
    of_forward, of_backward = SegmentCosts.of(costs, forward.stage, there), SegmentCosts.of(costs, backward.stage, back)
    program = pair_program(order, there, back, weights=backward.kind == "B")
    return timed(program, lambda each: (of_forward if each.direction == "F" else of_backward).cost(each))


def _end(segments: Iterable[Timed]) -> Any:
    return max((each.end for each in segments), default=0)


def _stream(segment: Segment) -> str:
    return COMM if segment.communicates else COMPUTE


def _placed(segments: Iterable[Timed], unit: str) -> PlacedSegments:
    kept = ((each, start, end) for each, start, end in segments if each.name != LAST)
    return PlacedSegments(
        (PlacedSegment(_stream(each), each.name, each.direction, *when) for each, *when in kept), unit
    )


def _timeline(segments: Iterable[Timed], pair: Action, unit: str) -> Timeline:
    """The segments as the actions that they are part of: F, and of a backward I, W or B."""
    forward, backward = pair.parts
    parts = {direction: backward._replace(kind=kind) for direction, kind in ACTION_KINDS.items()} | {"F": forward}
    spans = [
        Span(0, _stream(each), parts[each.direction], start, end)
        for each, start, end in segments
        if each.name != LAST and end > start
    ]
    return Timeline.from_spans(spans, "overlapped", 1, unit=unit)
