"""Order: the segments of a MoE layer's forward and backward, in an order of your choice, on two streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ..ir import at_least
from ..timeline import Intervals
from .costs import Costs
from .pair_timing import SegmentCosts

COMPUTE, COMM = "compute", "comm"

#: Segment of a layer -> what it needs first, of the same layer. B is the backward for the input, W for the weights.
NEEDS = {
    "attention(F)": (),
    "dispatch(F)": ("attention(F)",),
    "experts(F)": ("dispatch(F)",),
    "combine(F)": ("experts(F)",),
    "combine(B)": (),
    "experts(B)": ("combine(B)",),
    "experts(W)": ("experts(B)",),
    "dispatch(B)": ("experts(B)",),
    "attention(B)": ("dispatch(B)",),
    "attention(W)": ("attention(B)",),
}
_FROM_LAYER_BEFORE = {"attention(F)": "combine(F)", "combine(B)": "attention(B)"}  # in the order of each direction

#: As in the profile that DeepSeek published.
DEEPSEEK = (
    "combine(B)",
    "attention(F)",
    "dispatch(F)",
    "experts(B)",
    "dispatch(B)",
    "experts(W)",
    "experts(F)",
    "combine(F)",
    "attention(B)",
    "attention(W)",
)


class PlacedSegment(NamedTuple):
    """One segment on one stream: ("comm", "dispatch", "F", start, end)."""

    stream: str
    name: str
    direction: str
    start: Any
    end: Any


def stream_of(segment: str) -> str:
    """Where a segment of `NEEDS` runs."""
    return COMM if segment.startswith(("dispatch", "combine")) else COMPUTE


def order_problems(order: Sequence[str]) -> list[str]:
    """Why segments can't be done in this order, in sentences; empty if they can."""
    unknown = [f"{segment!r} is no segment" for segment in order if segment not in NEEDS]
    twice = [f"{segment} is there {order.count(segment)} times" for segment in NEEDS if order.count(segment) > 1]
    missing = [f"{segment} is missing" for segment in NEEDS if segment not in order]
    if unknown or twice or missing:
        return unknown + twice + missing
    place = {segment: number for number, segment in enumerate(order)}
    pairs = ((segment, needed) for segment in order for needed in NEEDS[segment])
    return [f"{late} comes before {needed}, which it needs" for late, needed in pairs if place[needed] > place[late]]


def place_segments(order: Sequence[str], costs: Costs, layers: int = 4) -> tuple[PlacedSegment, ...]:
    """A forward and a backward through so many layers, each layer's segments started in this order.

    A stream does its segments in this order, and each starts as soon as its stream is free and what it needs is there.
    As the forward goes up through the layers, the backward goes down.

    Parameters
    ----------
    order : sequence of str
        The names in `NEEDS`, each once.
    costs : Costs
        Of the whole stage; each segment is given an equal share.
    layers : int

    Raises
    ------
    ValueError
        For an order in which a segment comes before one that it needs.

    Examples
    --------
    >>> placed = place_segments(DEEPSEEK, Costs(8, 8, 8, forward_comm=12, backward_input_comm=12))
    >>> placed[-1]
    PlacedSegment(stream='compute', name='attention', direction='W', start=Fraction(47, 2), end=Fraction(49, 2))
    """
    if problems := order_problems(order):
        raise ValueError("; ".join(problems))
    parts = SegmentCosts.of(costs, 0, 2 * at_least(1, layers, "layers"))
    cost = dict(zip("FBW", parts[:3], strict=True)), dict(zip("FB", parts[3:], strict=True))
    free = dict.fromkeys((COMPUTE, COMM), 0)
    done: dict[str, Any] = {}  # segment -> its end in this layer, or in the one before
    placed = []
    for _ in range(layers):
        before, done = done, {}
        for segment in order:
            name, direction, stream = segment[:-3], segment[-2], stream_of(segment)
            needed = [done[each] for each in NEEDS[segment]]
            needed += [before[each] for each in (_FROM_LAYER_BEFORE.get(segment),) if each in before]
            start = max([free[stream], *needed])
            free[stream] = done[segment] = start + cost[stream == COMM][direction]
            placed.append(PlacedSegment(stream, name, direction, start, done[segment]))
    return tuple(placed)


def all_orders() -> Iterator[tuple[str, ...]]:
    """All orders that are possible within a layer.

    Examples
    --------
    >>> len({*all_orders()})
    840
    """
    forward = ("attention(F)", "dispatch(F)", "experts(F)", "combine(F)")
    backward = ("combine(B)", "experts(B)", "dispatch(B)", "attention(B)", "attention(W)")
    for late in range(2, len(backward) + 1):
        there = (*backward[:late], "experts(W)", *backward[late:])
        for chosen in combinations(range(len(NEEDS)), len(forward)):
            streams = iter(forward), iter(there)
            yield tuple(next(streams[number not in chosen]) for number in range(len(NEEDS)))


def exposed(placed: Sequence[tuple[str, str, str, Any, Any]]) -> Any:
    """Time in which one stream communicates and the other computes nothing."""

    def busy(segments: Sequence[tuple[str, str, str, Any, Any]]) -> Any:
        return Intervals([s[3] for s in segments], [s[4] for s in segments]).total

    return busy(placed) - busy([segment for segment in placed if segment[0] == COMPUTE])
