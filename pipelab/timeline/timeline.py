"""Timeline: what happened when, simulated or measured, and every figure that follows from it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from ..ir import Action, counted
from . import intervals

if TYPE_CHECKING:
    from .dependencies import Dependencies, Gap

COMPUTE, COMM = 0, 1
STREAMS = ("compute", "comm")
Source = Literal["simulated", "measured", "paced"]


class Span(NamedTuple):
    """One action on one stream ("compute" or "comm") of one rank, from start to end."""

    rank: int
    stream: str
    action: Action
    start: Any
    end: Any


@dataclass(frozen=True, eq=False, repr=False)
class Timeline:
    """Spans as columns: entry i of `actions`, `rank`, `stream`, `start` and `end` together is one span.

    rank, stream  int arrays [spans]; stream is COMPUTE (0) or COMM (1)
    start, end    arrays [spans] in `unit`: "" for the simulation's abstract units, else "ms". Whole costs stay whole
                  numbers; fractions stay exact (dtype object).
    source        "simulated", "measured", or "paced": measured, each action held to a prescribed duration
    free_at       the end of which backward frees an activation: "W" (and B), or "I" (and B)
    note          what else a picture of it must say, such as "emulated link"
    journeys      entry s: how long a message travels between stages s and s + 1; empty: no time, or it is not known

    A rank is *busy* while one of its actions runs on either stream, *idle* otherwise. A blocking send (a SEND action on
    the comm stream) is not work: it counts as idle.
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

    @classmethod
    def from_spans(cls, spans: Iterable[Span], name: str, num_ranks: int | None = None, **attributes: Any) -> Timeline:
        """A Timeline from rows. `attributes`: source, unit, free_at, note, journeys."""
        rows = sorted(spans, key=lambda span: (span.rank, span.start, span.end))
        if num_ranks is None:
            num_ranks = 1 + max((span.rank for span in rows), default=-1)
        return cls(
            name,
            num_ranks,
            tuple(span.action for span in rows),
            np.array([span.rank for span in rows], dtype=int),
            np.array([STREAMS.index(span.stream) for span in rows], dtype=int),
            np.array([span.start for span in rows]),
            np.array([span.end for span in rows]),
            **attributes,
        )

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The same as rows."""
        columns = (self.rank.tolist(), self.stream.tolist(), self.actions, self.start.tolist(), self.end.tolist())
        return tuple(Span(rank, STREAMS[stream], *rest) for rank, stream, *rest in zip(*columns, strict=True))

    def __len__(self) -> int:
        return len(self.actions)

    def __repr__(self) -> str:
        what = f"{self.name}, {self.source}: {counted(self.num_ranks, 'rank')}, {counted(len(self), 'span')}"
        return f"<Timeline {what}, makespan {float(self.makespan):g}{self.unit and ' ' + self.unit}>"

    def __eq__(self, other: object) -> bool:
        """Equal if the spans are, in whatever order, and all else too."""
        if not isinstance(other, Timeline):
            return NotImplemented
        attributes = ("name", "num_ranks", "source", "unit", "free_at", "note", "journeys")
        mine, theirs = ([*(getattr(t, name) for name in attributes), sorted(t.spans)] for t in (self, other))
        return mine == theirs

    __hash__ = None  # type: ignore[assignment]

    # -- time --------------------------------------------------------------------------------------------------------

    @cached_property
    def begin(self) -> Any:
        return plain(self.start.min()) if len(self) else 0

    @cached_property
    def finish(self) -> Any:
        return plain(self.end.max()) if len(self) else 0

    @property
    def makespan(self) -> Any:
        """From the first start to the last end, over all ranks."""
        return self.finish - self.begin

    @cached_property
    def works(self) -> np.ndarray:
        """Per span: does it count as work? All do but blocking sends."""
        return np.array([not action.kind.startswith("SEND") for action in self.actions], dtype=bool)

    def _of_rank(self, rank: int, mask: np.ndarray) -> intervals.Intervals:
        chosen = mask & (self.rank == rank)
        return intervals.union(self.start[chosen], self.end[chosen])

    @cached_property
    def _busy(self) -> tuple[intervals.Intervals, ...]:
        return tuple(self._of_rank(rank, self.works) for rank in range(self.num_ranks))

    @cached_property
    def busy(self) -> tuple[Any, ...]:
        """Per rank: time in which an action runs."""
        return tuple(intervals.total(busy) for busy in self._busy)

    @cached_property
    def idle(self) -> tuple[Any, ...]:
        """Per rank: makespan minus busy."""
        return tuple(self.makespan - busy for busy in self.busy)

    @property
    def bubble_fraction(self) -> Any:
        """Idle time of all ranks / (ranks · makespan). 0 for an empty timeline."""
        return _ratio(sum(self.idle), self.num_ranks * self.makespan)

    @property
    def bubble_over_ideal(self) -> Any:
        """Idle time of all ranks / their busy time: the other convention in the literature, (P-1)/M for GPipe.

        0 for an empty timeline, infinite where nothing but messages takes time.
        """
        return _ratio(sum(self.idle), sum(self.busy))

    @cached_property
    def exposed_communication(self) -> tuple[Any, ...]:
        """Per rank: time in which it communicates (or is held by a blocking send) and computes nothing."""
        exposed = []
        for rank in range(self.num_ranks):
            both = self._of_rank(rank, np.ones(len(self), dtype=bool))
            exposed.append(intervals.total(both) - intervals.total(self._of_rank(rank, self.stream == COMPUTE)))
        return tuple(exposed)

    @cached_property
    def phases(self) -> tuple[tuple[Any, Any], ...]:
        """Per rank, when its steady phase begins and ends: first backward's start and last forward's end.

        Before it the rank warms up, after it it drains. Where no forward follows a backward, steady is empty.
        """
        found = []
        for rank in range(self.num_ranks):
            mine = [(part.kind, i) for i in np.flatnonzero(self.rank == rank) for part in self.actions[i].computes]
            begins = plain(min((self.start[i] for kind, i in mine if kind != "F"), default=self.finish))
            ends = plain(max((self.end[i] for kind, i in mine if kind == "F"), default=begins))
            found.append((begins, max(begins, ends)))
        return tuple(found)

    @cached_property
    def idle_by_phase(self) -> tuple[tuple[Any, Any, Any], ...]:
        """Per rank: idle time in warm-up, steady and drain; the three sum to `idle`."""
        split = []
        for rank, (steady, drain) in enumerate(self.phases):
            idle = intervals.complement(self._busy[rank], self.begin, self.finish)
            phases = ((self.begin, steady), (steady, drain), (drain, self.finish))
            split.append(tuple(intervals.within(idle, low, high) for low, high in phases))
        return tuple(split)

    # -- memory ------------------------------------------------------------------------------------------------------

    @cached_property
    def _activations(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        trains = any(part.kind != "F" for action in self.actions for part in action.computes)
        freeing = ("B", self.free_at) if trains else ("F",)
        steps = []
        for rank, program in enumerate(self.dependencies.programs):
            changes: list[tuple[Any, int]] = []
            for action in program:
                start, end = self.dependencies.extents[rank, action]
                kinds = [part.kind for part in action.computes]
                changes += [(start, 1)] * kinds.count("F")
                changes += [(end, -1) for kind in kinds if kind in freeing]
            # A stable sort: at the same time, what an action frees goes before what the next one makes.
            changes.sort(key=itemgetter(0))
            counts = np.cumsum([change for _, change in changes], dtype=int)
            steps.append((np.array([time for time, _ in changes]), counts))
        return tuple(steps)

    def activations_over_time(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """(times, counts): from times[i] on, the rank holds counts[i] activations, each of a stage and micro-batch."""
        return self._activations[rank]

    @cached_property
    def peak_activations(self) -> tuple[int, ...]:
        """Per rank: the most activations held at once, each from its F's start to its B's or W's end (see free_at).

        Forward only, nothing is kept for a backward: each is held until its F's end.
        """
        return tuple(int(counts.max(initial=0)) for _, counts in self._activations)

    # -- causes ------------------------------------------------------------------------------------------------------

    @cached_property
    def dependencies(self) -> Dependencies:
        """What each action needed, and what came last: see :class:`pipelab.timeline.Dependencies`."""
        from .dependencies import Dependencies

        return Dependencies(self)

    def whole_actions(self) -> Timeline:
        """The same with one span for each action, from the start of its first phase to the end of its last.

        Of stages with phases a run has a span per phase, on two streams. This is how such a run compares with others.
        """
        extents = self.dependencies.extents.items()
        spans = [Span(rank, STREAMS[COMPUTE], action, start, end) for (rank, action), (start, end) in extents]
        whole = Timeline.from_spans(spans, self.name, self.num_ranks)
        attributes = ("source", "unit", "free_at", "note", "journeys")
        return replace(whole, **{name: getattr(self, name) for name in attributes})

    def gaps(self, shortest: float = 0) -> list[Gap]:
        """Every idle gap longer than `shortest`, rank by rank, each with its reason."""
        return self.dependencies.gaps(shortest)

    def critical_path(self) -> list[Span]:
        """The chain of actions, each waiting for the one before, that makes the timeline as long as it is."""
        return self.dependencies.critical_path()


def plain(value: Any) -> Any:
    """A numpy scalar as the Python number that it is."""
    return value.item() if isinstance(value, np.generic) else value


def _ratio(part: Any, whole: Any) -> Any:
    return part / whole if whole else math.inf if part else 0.0
