"""Order: the phases of a MoE layer's forward and backward, in an order of one's own, on two streams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from ..ir import at_least
from ..timeline import Intervals
from .costs import Costs
from .pair_timing import SegmentCosts

COMPUTE, COMM = "compute", "comm"

#: Phase of a layer -> what it needs first, of the same layer. B is the backward for the input, W for the weights.
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
    """One phase on one stream: ("comm", "dispatch", "F", start, end)."""

    stream: str
    name: str
    direction: str
    start: Any
    end: Any


def stream_of(phase: str) -> str:
    """Where a phase of `NEEDS` runs."""
    return COMM if phase.startswith(("dispatch", "combine")) else COMPUTE


def order_problems(order: Sequence[str]) -> list[str]:
    """Why phases can't be done in this order, in sentences; empty if they can."""
    unknown = [f"{phase!r} is no phase" for phase in order if phase not in NEEDS]
    twice = [f"{phase} is there {order.count(phase)} times" for phase in NEEDS if order.count(phase) > 1]
    missing = [f"{phase} is missing" for phase in NEEDS if phase not in order]
    if unknown or twice or missing:
        return unknown + twice + missing
    place = {phase: number for number, phase in enumerate(order)}
    pairs = ((phase, needed) for phase in order for needed in NEEDS[phase])
    return [f"{phase} comes before {needed}, which it needs" for phase, needed in pairs if place[needed] > place[phase]]


def place_segments(order: Sequence[str], costs: Costs, layers: int = 4) -> tuple[PlacedSegment, ...]:
    """A forward and a backward chunk through so many layers, every layer's phases started in this order.

    Each stream does what is given to it in its order, and each phase starts as soon as its stream is free and what it
    needs is there. As the forward goes through the layers upwards, the backward goes through them downwards.

    costs    of the whole stage; each phase is given an equal share

    ValueError for an order that can't be.

    >>> placed = place_segments(DEEPSEEK, Costs(8, 8, 8, forward_comm=12, backward_input_comm=12))
    >>> placed[-1]
    PlacedSegment(stream='compute', name='attention', direction='W', start=Fraction(47, 2), end=Fraction(49, 2))
    """
    if problems := order_problems(order):
        raise ValueError("; ".join(problems))
    parts = SegmentCosts.of(costs, 0, 2 * at_least(1, layers, "layers"))
    cost = dict(zip("FBW", parts[:3], strict=True)), dict(zip("FB", parts[3:], strict=True))
    free = dict.fromkeys((COMPUTE, COMM), 0)
    done: dict[str, Any] = {}  # phase -> its end in this layer, or in the one before
    placed = []
    for _ in range(layers):
        before, done = done, {}
        for phase in order:
            name, direction, stream = phase[:-3], phase[-2], stream_of(phase)
            needed = [done[each] for each in NEEDS[phase]]
            needed += [before[each] for each in (_FROM_LAYER_BEFORE.get(phase),) if each in before]
            start = max([free[stream], *needed])
            free[stream] = done[phase] = start + cost[stream == COMM][direction]
            placed.append(PlacedSegment(stream, name, direction, start, done[phase]))
    return tuple(placed)


def all_orders() -> Iterator[tuple[str, ...]]:
    """All orders that are possible within a layer.

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

    def busy(phases: Sequence[tuple[str, str, str, Any, Any]]) -> Any:
        return Intervals([p[3] for p in phases], [p[4] for p in phases]).total

    return busy(placed) - busy([phase for phase in placed if phase[0] == COMPUTE])
