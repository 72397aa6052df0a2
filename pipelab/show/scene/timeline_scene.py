"""A timeline as a chart: a row per rank, a box per action."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from ...ir.codes import KINDS, SENDS, PlainActions, unpack
from ...timeline import COMM, Timeline
from ..palette import CHUNK_TINT, STYLES
from .chart import BAR, Chart, in_styles

_COMPUTE_SHARE = 0.68  # of a row's height, where it shows a communication stream as well
_GAP = 0.06  # of it, between the two
_POWERS = 10 ** np.arange(1, 19)  # numbers that have one digit more than the ones before


def timeline_chart(timeline: Timeline, until: float, scale: float, row: float) -> Chart:
    """Lay a timeline out. An overlapped pair is two boxes in a frame, its forward above its backward.

    until: where the time axis ends;  scale: units of length in a unit of time;  row: a row's height, in units
    """
    every, spans = parts_of(timeline)
    computes, messages = timeline.computing[spans], np.flatnonzero(~timeline.computing)
    parts, span = every.where(computes), np.append(spans[computes], messages)
    left, right = ((times - timeline.begin)[span].astype(float) for times in (timeline.start, timeline.end))
    height = BAR * (_COMPUTE_SHARE if len(messages) else 1.0)
    share = np.where(parts.first | parts.second, height / 2, height)
    upper = timeline.rank[span] - BAR / 2  # of the row
    top = upper + np.append(np.where(parts.second, height / 2, 0), np.full(len(messages), height + _GAP * BAR))
    bottom = np.append(top[: len(share)] + share, upper[len(share) :] + BAR)
    tints = Tints(timeline.rank[spans], every)
    look = parts.kind * len(tints.shades) + tints.shade(timeline.rank[spans[computes]], parts)
    looks = [*product(KINDS[:SENDS], tints.shades), (COMM, 0.0)]
    style, styles = in_styles(np.append(look, np.full(len(messages), len(looks) - 1)), looks)
    digits = np.append(1 + np.searchsorted(_POWERS, parts.microbatch, side="right"), np.zeros(len(messages), dtype=int))
    sizes = _sizes((right - left) * scale, (bottom - top) * row, digits, style)
    labels, shown = np.full(len(span), "", dtype=object), np.flatnonzero(sizes)
    labels[shown] = [*map(str, parts.microbatch[shown].tolist())]
    return Chart(
        left,
        right,
        top,
        bottom,
        style,
        styles,
        labels=labels,
        sizes=sizes,
        rows=[(rank, f"rank {rank}") for rank in range(timeline.num_ranks)],
        limits=(-0.5, timeline.num_ranks - 0.5),
        row=row,
        begin=0.0,
        until=until,
        scale=scale,
        frames=np.flatnonzero(parts.first),
    )


def _sizes(wide: np.ndarray, tall: np.ndarray, digits: np.ndarray, style: np.ndarray) -> np.ndarray:
    """Sizes of the labels' letters, for boxes of this width and height; 0 where a label has no room."""
    room = (digits > 0) & (wide >= 2 + 5.3 * digits) & (tall >= 8.5)
    shown = all_or_none(style, room)
    tight = np.bincount(style, shown & (wide < 5 + 6.5 * digits))[style] > 0  # then all of its style are as small
    return np.where(shown, np.minimum(np.where(tight, 9.5, 11), 0.95 * tall).round(1), 0)


def all_or_none(style: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Which boxes show their label, of those that have room for it.

    Of a style whose labels mostly have no room, none does: measured actions are not all of one length, and the few
    that are long enough would stand there as if they were chosen.
    """
    every, fitting = (np.bincount(style, weights) for weights in (None, room))
    return room & (2 * fitting >= every)[style]


def parts_of(timeline: Timeline) -> tuple[PlainActions, np.ndarray]:
    """What a timeline's spans compute, as columns of Python's int; and of each row, the number of its span."""
    kind, stage, microbatch, second = unpack(timeline.codes)
    parts = PlainActions(kind.astype(int), stage.astype(int), microbatch.astype(int), second)
    computes = kind < SENDS
    return parts.where(computes), (np.cumsum(~second) - 1)[computes]


def kinds(*timelines: Timeline) -> list[str]:
    """The kinds of action that occur, in the palette's order: what a legend must explain."""
    there = {KINDS[kind] for timeline in timelines for kind in np.flatnonzero(np.bincount(parts_of(timeline)[0].kind))}
    if not all(timeline.computing.all() for timeline in timelines):
        there.add(COMM)
    return [kind for kind in STYLES if kind in there]


def tints_mean(*timelines: Timeline) -> str:
    """What lighter boxes are, in these timelines; empty where no box is lighter."""
    notes = {timeline.name: note for timeline in timelines if (note := Tints.of(timeline).meaning)}
    if len(set(notes.values())) > 1:
        return "lighter: " + "; ".join(f"{note} ({name})" for name, note in notes.items())
    return f"lighter: {next(iter(notes.values()))}" if notes else ""


class Tints:
    """How much lighter an action is drawn: a rank's later chunks more, and so are micro-batches on the second route.

    Where a stage is on two ranks for different micro-batches, the pipeline is bidirectional, and its second half of
    micro-batches goes up. (Ranks that share experts hold a stage for the same micro-batches.)

    shades: the amounts that there are
    """

    def __init__(self, rank: np.ndarray, parts: PlainActions) -> None:
        ranks, stages, self.microbatches = (
            1 + column.max(initial=-1) for column in (rank, parts.stage, parts.microbatch)
        )
        held = np.zeros((ranks, stages), dtype=bool)
        held[rank, parts.stage] = True
        self.chunk = held.cumsum(axis=1) - 1  # of a rank, that a stage is
        self.chunks = int(held.sum(axis=1).max(initial=0))
        self.bidirectional = bool((held.sum(axis=0) > 1).any()) and not self._shared(rank, parts, stages)
        if self.bidirectional:
            self.shades: Sequence[float] = (0.0, CHUNK_TINT)
        else:
            self.shades = [CHUNK_TINT * chunk / max(1, self.chunks - 1) for chunk in range(self.chunks)]

    @classmethod
    def of(cls, timeline: Timeline) -> Tints:
        parts, spans = parts_of(timeline)
        return cls(timeline.rank[spans], parts)

    def _shared(self, rank: np.ndarray, parts: PlainActions, stages: int) -> bool:
        """Do several ranks have the same stage and micro-batch?"""
        task = parts.stage * self.microbatches + parts.microbatch
        someone = np.zeros(stages * self.microbatches, dtype=int)
        someone[task] = rank
        return bool((someone[task] != rank).any())

    def shade(self, rank: np.ndarray, parts: PlainActions) -> np.ndarray:
        """Which of the shades each has."""
        if self.bidirectional:
            return (2 * parts.microbatch >= self.microbatches).astype(int)
        return self.chunk[rank, parts.stage]

    @property
    def meaning(self) -> str:
        if self.bidirectional:
            return "micro-batches of the other direction"
        return "a rank's later stages" if self.chunks > 1 else ""
