"""Segments: what an overlapped pair does, in what order. The pair is a schedule, too, and its order is data."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import combinations, pairwise
from reprlib import repr as brief
from typing import NamedTuple

from .action import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, FORWARD

#: What a forward does in a layer with experts. A backward comes back the same way.
STEPS = ("attention", "dispatch", "experts", "combine")
EXCHANGES = ("dispatch", "combine")
#: What follows the last exchange: the layer's sum, on the last stage also the loss. No order lists it: a backward
#: begins with it, and a forward ends with it.
LAST = "sum"
#: The forward; the backward for the input, the one for the weights, and both at once: of which kind of Action each is.
ACTION_KINDS = {"F": FORWARD, "B": BACKWARD_INPUT, "W": BACKWARD_WEIGHT, "BW": BACKWARD}

_TEXT = re.compile(r"(\w{1,20})\((\w{1,9})\)(\d{0,4})", re.ASCII)
_ALL = (*STEPS, LAST)


class Segment(NamedTuple):
    """One piece of work on one stream: a computation of a layer, or an exchange. It prints as ``experts(B)2``.

    Parameters
    ----------
    name : str
        The computations ``attention`` (with the router) and ``experts``; the exchanges ``dispatch`` and ``combine``.
    direction : str
        ``F`` forward · ``B`` backward for the input · ``W`` backward for the weights · ``BW`` both at once. Inside of a
        layer the backward for the input is called B, as in DeepSeek's profile, though :class:`Action` calls it I.
    layer : int, optional
        Of the stage, from 0. Default: of each layer.

    Examples
    --------
    >>> Segment("experts", "B", 2), str(Segment.parse("dispatch(F)"))
    (experts(B)2, 'dispatch(F)')
    """

    name: str
    direction: str
    layer: int | None = None

    def __str__(self) -> str:
        return f"{self.name}({self.direction})" + ("" if self.layer is None else str(self.layer))

    def __repr__(self) -> str:
        return str(self)

    @property
    def communicates(self) -> bool:
        """Is it an exchange, not a computation?"""
        return self.name in EXCHANGES

    @classmethod
    def parse(cls, text: str) -> Segment:
        """Read one segment, such as ``experts(B)``. ValueError for anything else."""
        match = _TEXT.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ValueError(f"{brief(text)} is no segment, such as 'attention(F)'")
        name, direction, layer = match.groups()
        return cls(name, direction, int(layer) if layer else None)


class SegmentProblem(NamedTuple):
    """One thing that is wrong with an order of segments.

    Attributes
    ----------
    code : str
        "unknown" (there is no such segment) · "layers" (some segments have a layer, and some have none) · "duplicate" ·
        "missing" · "order" (before something that it needs)
    segment : Segment
        The one that is wrong.
    message : str
        The same in one sentence.
    needs : Segment, optional
        What it needs, where that is the problem.

    Examples
    --------
    >>> backwards = SegmentOrder.of("deepseek").segments[::-1]
    >>> SegmentOrder(backwards).problems[0].message
    'attention(W) comes before attention(B), which it needs'
    """

    code: str
    segment: Segment
    message: str
    needs: Segment | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class SegmentOrder:
    """In which order an overlapped forward and backward do their segments.

    A rank has two streams, one that computes and one that communicates. Each does its own segments in this order: an
    exchange sets out as soon as those before it have arrived and what it sends has been computed; a computation begins
    as soon as those before it are over and what it needs has arrived.

    Parameters
    ----------
    segments : tuple of Segment
        Without layers: of one layer, to be done in every layer. As the forward goes up through the layers, the backward
        goes down. With layers: of the whole stage. A computation's backward comes as B and W, or as BW.
    name : str

    Examples
    --------
    >>> megatron = SegmentOrder.of("megatron")
    >>> print(megatron)
    attention(F) combine(B) dispatch(F) experts(BW) dispatch(B) experts(F) combine(F) attention(BW)
    >>> megatron.problems
    ()
    """

    segments: tuple[Segment, ...]
    name: str = ""

    @classmethod
    def of(cls, order: SegmentOrder | str | Sequence[str | Segment], *, name: str = "yours") -> SegmentOrder:
        """An order as it comes: one itself, a name in `ORDERS`, or a list of segments or of their texts.

        Examples
        --------
        >>> SegmentOrder.of("deepseek").segments[:2]
        (combine(B), attention(F))
        """
        if isinstance(order, SegmentOrder):
            return order
        if isinstance(order, str):
            if order not in ORDERS:
                raise ValueError(f"an order is one of {', '.join(ORDERS)}, or a list of segments; got {order!r}")
            return ORDERS[order]
        return cls(tuple(each if isinstance(each, Segment) else Segment.parse(each) for each in _listed(order)), name)

    def __post_init__(self) -> None:
        if not isinstance(self.segments, tuple) or not all(isinstance(each, Segment) for each in self.segments):
            raise ValueError("segments must be a tuple of Segment; SegmentOrder.of(…) reads lists and texts")

    def __str__(self) -> str:
        return " ".join(map(str, self.segments))

    @property
    def layers(self) -> int | None:
        """How many layers it lists; None if it lists one for all."""
        numbers = [segment.layer for segment in self.segments if segment.layer is not None]
        return 1 + max(numbers) if numbers else None

    @property
    def needs(self) -> dict[Segment, Segment]:
        """Each segment -> the one that it needs first, in its layer or, where layers are listed, in the one before."""
        return needs(self.segments)

    @property
    def problems(self) -> tuple[SegmentProblem, ...]:
        """All that is wrong with it; empty if it can be done. Then it can be done in any number of layers."""
        return _problems(self.segments)

    def require_valid(self) -> None:
        """ValueError with every reason why segments can't be done in this order."""
        if problems := self.problems:
            raise ValueError("; ".join(map(str, problems)))


def order_problems(order: SegmentOrder | str | Sequence[str | Segment]) -> tuple[SegmentProblem, ...]:
    """Why segments can't be done in this order; empty if they can.

    Parameters
    ----------
    order : SegmentOrder, str, or sequence of str or Segment
        In a sequence, texts that are no segments are problems, too.

    Examples
    --------
    >>> [str(problem) for problem in order_problems(["lunch", *ORDERS["deepseek"].segments])]
    ["'lunch' is no segment, such as 'attention(F)'"]
    """
    segments, wrong = [], []
    for each in SegmentOrder.of(order).segments if isinstance(order, SegmentOrder | str) else _listed(order):
        try:
            segments.append(each if isinstance(each, Segment) else Segment.parse(each))
        except ValueError as error:
            wrong.append(SegmentProblem("unknown", Segment(str(each), ""), str(error)))
    return (*wrong, *_problems(tuple(segments)))


def all_orders() -> Iterator[tuple[Segment, ...]]:
    """All orders that are possible within a layer whose backwards come as B and W.

    Examples
    --------
    >>> len({*all_orders()})
    840
    """
    forward = [Segment(name, "F") for name in STEPS]
    backward = [Segment(name, "B") for name in reversed(STEPS)] + [Segment("attention", "W")]
    for late in range(2, len(backward) + 1):
        there = (*backward[:late], Segment("experts", "W"), *backward[late:])
        total = len(forward) + len(there)
        for chosen in combinations(range(total), len(forward)):
            passes = iter(forward), iter(there)
            yield tuple(next(passes[number not in chosen]) for number in range(total))


def _listed(order: Iterable[str | Segment]) -> tuple[str | Segment, ...]:
    try:
        if isinstance(order, Set | Mapping):
            raise TypeError("what has no order of its own")
        return tuple(order)
    except TypeError:
        raise ValueError(
            f"an order is one of {', '.join(ORDERS)}, or a list of segments such as 'attention(F)'; got {order!r}"
        ) from None


def _place(segment: Segment) -> tuple[int, int]:
    """Where on a forward's way it stands."""
    return segment.layer or 0, _ALL.index(segment.name)


def needs(segments: Sequence[Segment]) -> dict[Segment, Segment]:
    """Each segment -> the one that it needs first: the one before it on its way, or a weights' part its own B."""
    forward = sorted((each for each in segments if each.direction == "F"), key=_place)
    backward = sorted((each for each in segments if each.direction in ("B", "BW")), key=_place, reverse=True)
    needs = {late: early for way in (forward, backward) for early, late in pairwise(way)}
    return needs | {each: each._replace(direction="B") for each in segments if each.direction == "W"}


def _problems(segments: tuple[Segment, ...]) -> tuple[SegmentProblem, ...]:
    found, there_are = [], Counter(segments)
    for each in there_are:
        there = ("F", "B") if each.communicates else ACTION_KINDS
        if each.name not in STEPS or each.direction not in there:
            found.append(SegmentProblem("unknown", each, f"{str(each)!r} is no segment, such as 'attention(F)'"))
        elif (each.layer is None) != (segments[0].layer is None):
            message = f"{each} is of {'every layer' if each.layer is None else 'one layer'}, but {segments[0]} is not"
            found.append(SegmentProblem("layers", each, message))
    if found:
        return tuple(found)
    for each, count in there_are.items():
        if count > 1:
            found.append(SegmentProblem("duplicate", each, f"{each} is there {count} times"))
        whole = each._replace(direction="BW")
        if each.direction in ("B", "W") and whole in there_are:
            message = f"{each} is there beside {whole}, which is the backward for input and weights at once"
            found.append(SegmentProblem("duplicate", each, message))
    layers = sorted({each.layer or 0 for each in segments}) or [0]
    if gap := set(range(len(layers))) - {*layers}:
        each = Segment("attention", "F", min(gap))
        found.append(SegmentProblem("missing", each, f"layer {min(gap)} is missing"))
    for layer in layers if segments and segments[0].layer is not None else [None]:
        for name, direction in ((name, direction) for direction in ("F", "B", "W") for name in STEPS):
            each = Segment(name, direction, layer)
            if each.communicates and direction == "W":
                continue
            if each not in there_are and (direction == "F" or each._replace(direction="BW") not in there_are):
                found.append(SegmentProblem("missing", each, f"{each} is missing"))
    if found:
        return tuple(found)
    turn, first = {each: number for number, each in enumerate(segments)}, needs(segments)
    early = [(each, first[each]) for each in segments if each in first and turn[each] < turn[first[each]]]
    return tuple(SegmentProblem("order", a, f"{a} comes before {b}, which it needs", b) for a, b in early)


def _order(name: str, text: str) -> SegmentOrder:
    return SegmentOrder(tuple(map(Segment.parse, text.split())), name)


#: Orders by name. DeepSeek's is that of its published training profile; Megatron-Core's that of its overlapped layers
#: (megatron/core/models/common/model_chunk_schedule_plan.py) as they come by default: the weights' gradients are left
#: with the input's, so what follows waits for both.
ORDERS: dict[str, SegmentOrder] = {
    order.name: order
    for order in (
        _order(
            "deepseek",
            "combine(B) attention(F) dispatch(F) experts(B) dispatch(B) experts(W) experts(F) combine(F) attention(B) "
            "attention(W)",
        ),
        _order(
            "megatron",
            "attention(F) combine(B) dispatch(F) experts(BW) dispatch(B) experts(F) combine(F) attention(BW)",
        ),
    )
}
