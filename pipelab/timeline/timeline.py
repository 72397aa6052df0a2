"""Timeline: what happened when, simulated or measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np

from ..amounts import at_least, counted
from ..ir import Action
from ..ir.codes import actions_of, codes_of
from .columns import Columns
from .dependencies import Dependencies, Gap
from .metrics import Metrics
from .span import COMM, COMPUTE, Span
from .units import converted, ratio, unit_named

Source = Literal["simulated", "measured", "paced"]
#: What a timeline says besides its spans.
ATTRIBUTES = ("name", "num_ranks", "source", "unit", "free_at", "note", "journeys")


@dataclass(frozen=True, eq=False, repr=False)
class Timeline(Metrics):
    """Spans as columns: entry i of `actions`, `rank`, `stream`, `start` and `end` together is one span.

    Parameters
    ----------
    name : str
    num_ranks : int
    actions : tuple of Action, [spans]
        Given as an array of codes (see ir/codes.py; of a pair two), they are made when somebody asks for them.
    rank : int array, [spans]
    stream : text array, [spans]
        COMPUTE or COMM, which are "compute" and "comm".
    start, end : arrays, [spans]
        In `unit`. Whole costs stay whole numbers, and fractions stay exact (dtype object).
    source : "simulated", "measured" or "paced"
        Paced is measured, with each action held to a prescribed duration.
    unit : str
        "" for the simulation's abstract units, else that of the costs; "ms" if it was measured.
    free_at : "W" or "I"
        The backward at whose end an activation is freed: W (and B), or I (and B).
    note : str
        What else a picture of it must say, such as "emulated link".
    journeys : tuple of numbers, [boundaries]
        Entry s: how long a message travels between stages s and s + 1. Empty: no time, or it is not known.

    Examples
    --------
    >>> from pipelab import Action
    >>> first, second = (Span(rank, "compute", Action("F", rank, 0), rank, rank + 1) for rank in (0, 1))
    >>> timeline = Timeline.from_spans([first, second], "two forwards")
    >>> timeline, timeline.idle, timeline.bubble_fraction
    (<Timeline two forwards, simulated: 2 ranks, 2 spans, makespan 2>, (1, 1), 0.5)
    """

    name: str
    num_ranks: int
    actions: tuple[Action, ...]
    rank: np.ndarray
    stream: np.ndarray
    start: np.ndarray
    end: np.ndarray
    source: Source = "simulated"
    unit: str = ""
    free_at: Literal["W", "I"] = "W"
    note: str = ""
    journeys: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", unit_named(self.unit))
        if isinstance(self.actions, np.ndarray):
            self.__dict__["codes"] = self.__dict__.pop("actions")
        known = (self.stream == COMPUTE) | (self.stream == COMM)
        if not np.all(known):
            raise ValueError(f"a span's stream is {COMPUTE!r} or {COMM!r}; got {self.stream[~known][0]!r}")

    @classmethod
    def from_spans(cls, spans: Iterable[Span], name: str, num_ranks: int | None = None, **attributes: Any) -> Timeline:
        """A Timeline from rows, in any order. `attributes`: source, unit, free_at, note, journeys."""
        rows = sorted(spans, key=lambda span: (span.rank, span.start, span.end))
        if num_ranks is None:
            num_ranks = 1 + max((span.rank for span in rows), default=-1)
        return cls(
            name,
            at_least(0, num_ranks, "num_ranks"),
            tuple(span.action for span in rows),
            np.array([span.rank for span in rows], dtype=int),
            np.array([span.stream for span in rows], dtype=str),
            np.array([span.start for span in rows]),
            np.array([span.end for span in rows]),
            **attributes,
        )

    def __getattr__(self, name: str) -> Any:
        if name != "actions" or "codes" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__.setdefault("actions", actions_of(self.codes))

    @cached_property
    def codes(self) -> np.ndarray:  # type: ignore[override]
        """The actions as codes (see ir/codes.py); an overlapped pair has two."""
        return codes_of(self.actions)

    @cached_property
    def computing(self) -> np.ndarray:  # type: ignore[override]
        """[spans] Is it on the compute stream?"""
        return np.asarray(self.stream == COMPUTE)

    @cached_property
    def columns(self) -> Columns:
        """Every action once, rank after rank, as columns of numbers: what figures and pictures are made of."""
        return Columns.of_spans(self.rank, self.codes, self.start, self.end)

    @property
    def attributes(self) -> dict[str, Any]:
        """All but the spans: what `from_spans` takes besides them."""
        return {name: getattr(self, name) for name in ATTRIBUTES}

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The same as rows."""
        columns = (self.rank.tolist(), self.stream.tolist(), self.actions, self.start.tolist(), self.end.tolist())
        return tuple(map(Span, *columns))

    def __len__(self) -> int:
        return len(self.rank)

    def __repr__(self) -> str:
        what = f"{self.name}, {self.source}: {counted(self.num_ranks, 'rank')}, {counted(len(self), 'span')}"
        return f"<Timeline {what}, makespan {float(self.makespan):g}{self.unit and ' ' + self.unit}>"

    def __eq__(self, other: object) -> bool:
        """Equal if the spans are, in whatever order, and all else too."""
        if not isinstance(other, Timeline):
            return NotImplemented
        return self.attributes == other.attributes and sorted(self.spans) == sorted(other.spans)

    __hash__ = None  # type: ignore[assignment]

    def in_unit(self, unit: str) -> Timeline:
        """The same times in another unit: "s", "ms", "us" or "ns". ValueError for a timeline in abstract units.

        Examples
        --------
        >>> from pipelab import Costs, simulate
        >>> from pipelab.schedules import gpipe
        >>> simulate(gpipe(2, 2), Costs(1, 1, 1, unit="s")).in_unit("ms").makespan
        9000
        """
        factor, unit = ratio(self.unit, unit_named(unit)), unit_named(unit)
        start, end = (np.array(converted(tuple(times.tolist()), *factor)) for times in (self.start, self.end))
        return replace(self, start=start, end=end, unit=unit, journeys=converted(self.journeys, *factor))

    def whole_actions(self) -> Timeline:
        """The same with one span for each action, from the start of its first segment to the end of its last.

        A run of stages that are cut into segments has a span for each segment, on two streams. Made whole, it compares
        with other timelines.
        """
        extents = self.dependencies.extents.items()
        spans = [Span(rank, COMPUTE, action, start, end) for (rank, action), (start, end) in extents]
        return Timeline.from_spans(spans, **self.attributes)

    @cached_property
    def dependencies(self) -> Dependencies:  # type: ignore[override]
        """What each action needed, and what of it came last."""
        return Dependencies(self.columns, self.num_ranks, journeys=self.journeys)

    def gaps(self, *, shortest: float = 0) -> list[Gap]:
        """Every idle gap longer than `shortest`, rank by rank, each with its reason."""
        return self.dependencies.gaps(shortest=shortest)

    def critical_path(self) -> list[Span]:
        """The chain of actions, each waiting for the one before, that makes the timeline as long as it is."""
        return self.dependencies.critical_path()
