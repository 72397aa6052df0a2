"""Pair program: an order of segments as the two streams of a rank do it, simulated or real."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple, Protocol

from .segments import LAST, STEPS, Segment, SegmentOrder, needs


class PairProgram(NamedTuple):
    """The segments of a forward and a backward, stream by stream; and what each needs before it can begin."""

    computations: tuple[Segment, ...]
    exchanges: tuple[Segment, ...]
    needs: Mapping[Segment, Segment]


class TwoStreams(Protocol):
    """What can do a program: a clock that simulates it, or a rank."""

    def compute(self, segment: Segment) -> None:
        """Do a computation."""

    def start(self, segment: Segment) -> None:
        """Let an exchange set out."""

    def arrive(self, segment: Segment) -> None:
        """Wait until an exchange that has set out is over."""


def play(program: PairProgram, streams: TwoStreams) -> None:
    """Do a program: its computations one by one, and each exchange once it is its turn and it has something to send.

    It can't get stuck. In the order, all that an exchange needs stands before it, and so does all that the exchanges
    before it need: when a computation asks for it to arrive, it has set out.

    Parameters
    ----------
    program : PairProgram
    streams : TwoStreams

    Examples
    --------
    >>> class Told:
    ...     def compute(self, segment): print("compute", segment)
    ...     def start(self, segment): print("start", segment)
    ...     def arrive(self, segment): print("wait for", segment)
    >>> play(pair_program(SegmentOrder.of("deepseek"), forward=1, backward=None), Told())
    compute attention(F)0
    start dispatch(F)0
    wait for dispatch(F)0
    compute sum(F)0
    """
    done, waiting = set[Segment](), deque(program.exchanges)

    def set_out() -> None:
        while waiting and ((needed := program.needs.get(waiting[0])) is None or needed in done):
            streams.start(waiting.popleft())

    set_out()
    for segment in program.computations:
        needed = program.needs.get(segment)
        if needed is not None and needed.communicates:
            streams.arrive(needed)
        streams.compute(segment)
        done.add(segment)
        set_out()


@lru_cache(maxsize=1024)
def pair_program(order: SegmentOrder, forward: int | None, backward: int | None, weights: bool = True) -> PairProgram:
    """What a forward and a backward through stages with so many exchanges do, in this order.

    Parameters
    ----------
    order : SegmentOrder
    forward, backward : int or None
        Exchanges of the forward, and of the backward: two in each layer. None: there is no such pass.
    weights : bool
        False: the backward leaves its weights for later.

    Raises
    ------
    ValueError
        For an order that can't be done, or lists other layers than these.

    Examples
    --------
    >>> program = pair_program(SegmentOrder.of("deepseek"), forward=2, backward=2)
    >>> program.computations[:4]
    (sum(B)0, sum(W)0, attention(F)0, experts(B)0)
    >>> program.exchanges
    (combine(B)0, dispatch(F)0, dispatch(B)0, combine(F)0)
    """
    order.require_valid()
    segments = [*_in_layers(order, forward, backward)]
    if not weights:
        segments = [each._replace(direction="B" if each.direction == "BW" else each.direction) for each in segments]
        segments = [each for each in segments if each.direction != "W"]
    if backward:
        last = Segment(LAST, "B", (backward - 1) // 2)
        segments = [last, *[last._replace(direction="W")] * weights, *segments]
    if forward:
        segments.append(Segment(LAST, "F", (forward - 1) // 2))
    exchanges = tuple(each for each in segments if each.communicates)
    return PairProgram(tuple(each for each in segments if not each.communicates), exchanges, needs(segments))


def _in_layers(order: SegmentOrder, forward: int | None, backward: int | None) -> Iterator[Segment]:
    """The order's segments as far as the passes have them: as listed, or once for each layer of the longer pass."""
    ways = {"F": _way(forward), "B": _way(backward, back=True)}
    layers = {direction: 1 + max((layer for _, layer in way), default=-1) for direction, way in ways.items()}
    listed = order.layers
    for exchanges in (forward, backward):
        if listed is not None and exchanges not in (None, 2 * listed):
            raise ValueError(
                f"the order {order.name!r} lists {listed} layers, with two exchanges each; the stage has {exchanges} "
                "exchanges. Number as many layers, or none: then the order is that of each layer"
            )
    for number in range(1 if listed is not None else max(layers.values())):
        for each in order.segments:
            direction = "F" if each.direction == "F" else "B"
            layer = each.layer
            if layer is None:
                layer = number if direction == "F" else layers["B"] - 1 - number
            if (each.name, layer) in ways[direction]:
                yield each._replace(layer=layer)


def _way(exchanges: int | None, back: bool = False) -> set[tuple[str, int]]:
    """(name, layer) of all that a pass with so many exchanges goes through: a computation before each, or just one.

    Where their number is odd, half a layer is left over, behind all others on either way: also the way back begins with
    an exchange that is a combine, as orders expect it.
    """
    count = 0 if exchanges is None else max(1, 2 * exchanges)
    skipped = count % len(STEPS) if back and exchanges else 0
    return {(STEPS[number % len(STEPS)], number // len(STEPS)) for number in range(skipped, skipped + count)}
