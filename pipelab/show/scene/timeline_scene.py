"""Boxes: a timeline as rectangles on one row per rank, whatever draws them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ...ir import Action
from ...timeline import COMM, Timeline
from .. import palette
from ..palette import CHUNK_TINT, STYLES, tinted

_COMPUTE_SHARE = 0.68  # of a row's height, where it shows a communication stream as well


class Boxes(NamedTuple):
    """A timeline's spans as rectangles, in columns; an overlapped pair gives two, forward above backward.

    left, right   [boxes] float, from the timeline's begin
    rank          [boxes] int
    top, bottom   [boxes] float, parts of the row's height: 0 is its upper edge, 1 its lower
    style         [boxes] int, an index into `styles`: (kind, tint)
    labels        [boxes] the micro-batch's number; empty for communication
    frames        [frames] indices of the upper box of each overlapped pair; the lower one is the next
    """

    left: np.ndarray
    right: np.ndarray
    rank: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    style: np.ndarray
    styles: list[tuple[str, float]]
    labels: list[str]
    frames: list[int]

    def labelled(self, room: np.ndarray) -> np.ndarray:
        """Which boxes show their label, of those that have room for it.

        Of a style whose labels mostly have no room, none does: measured actions are not all of one length, and the few
        that are long enough would stand there as if they were chosen.
        """
        all_, fitting = (np.bincount(self.style, weights, len(self.styles)) for weights in (None, room))
        return room & (2 * fitting >= all_)[self.style]

    @property
    def colours(self) -> list[str]:
        """One per style."""
        return [tinted(STYLES[kind].colour, tint) for kind, tint in self.styles]


def kinds(*timelines: Timeline) -> list[str]:
    """The kinds of action that occur, in the palette's order: what a legend must explain."""
    there = {part.kind for timeline in timelines for action in timeline.actions for part in action.computes}
    if any((timeline.stream == COMM).any() for timeline in timelines):
        there.add(palette.COMM)
    return [kind for kind in STYLES if kind in there]


def boxes(timeline: Timeline) -> Boxes:
    """The rectangles of a timeline."""
    tint_of = _Tints(timeline)
    both_streams = bool((timeline.stream == COMM).any())
    height = _COMPUTE_SHARE if both_streams else 1.0
    styles: dict[tuple[str, float], int] = {}
    rows: list[tuple[int, float, float, int, str]] = []  # span, top, bottom, style, label
    frames: list[int] = []
    streams, ranks = timeline.stream.tolist(), timeline.rank.tolist()
    for i, (action, stream, rank) in enumerate(zip(timeline.actions, streams, ranks, strict=True)):
        if stream == COMM:
            style = styles.setdefault((palette.COMM, 0.0), len(styles))
            rows.append((i, _COMPUTE_SHARE + 0.06, 1.0, style, ""))
            continue
        if action.parts:
            frames.append(len(rows))
        share = height / len(action.computes) if action.parts else height
        for place, part in enumerate(action.computes):
            style = styles.setdefault((part.kind, tint_of(rank, part)), len(styles))
            rows.append((i, place * share, (place + 1) * share, style, str(part.microbatch)))
    columns: list[tuple] = [*zip(*rows, strict=True)] if rows else [()] * 5
    span = np.array(columns[0], dtype=int)
    return Boxes(
        (timeline.start[span] - timeline.begin).astype(float),
        (timeline.end[span] - timeline.begin).astype(float),
        timeline.rank[span],
        np.array(columns[1], dtype=float),
        np.array(columns[2], dtype=float),
        np.array(columns[3], dtype=int),
        list(styles),
        list(columns[4]),
        frames,
    )


def tints_mean(*timelines: Timeline) -> str:
    """What lighter boxes are, in these timelines; empty where there are none."""
    notes = {timeline.name: note for timeline in timelines if (note := _tint_means(_Tints(timeline)))}
    if len(set(notes.values())) > 1:
        return "lighter: " + "; ".join(f"{note} ({name})" for name, note in notes.items())
    return f"lighter: {next(iter(notes.values()))}" if notes else ""


def _tint_means(tints: _Tints) -> str:
    if tints.bidirectional:
        return "micro-batches of the other direction"
    return "a rank's later stages" if tints.chunks > 1 else ""


class _Tints:
    """How much lighter an action is drawn: a rank's later chunks more, and so are micro-batches on the second route.

    Where a stage is on two ranks for different micro-batches, the pipeline is bidirectional, and its second half of
    micro-batches goes up. (Ranks that share experts hold a stage for the same micro-batches.)
    """

    def __init__(self, timeline: Timeline) -> None:
        chunks: list[set[int]] = [set() for _ in range(timeline.num_ranks)]
        holders: dict[int, set[int]] = {}
        doers: dict[tuple[int, int], set[int]] = {}
        self.microbatches = 0
        for rank, action in zip(timeline.rank.tolist(), timeline.actions, strict=True):
            for part in action.computes:
                chunks[rank].add(part.stage)
                holders.setdefault(part.stage, set()).add(rank)
                doers.setdefault((part.stage, part.microbatch), set()).add(rank)
                self.microbatches = max(self.microbatches, part.microbatch + 1)
        shared = any(len(ranks) > 1 for ranks in doers.values())
        self.bidirectional = not shared and any(len(ranks) > 1 for ranks in holders.values())
        self.chunks = max((len(held) for held in chunks), default=0)  # per rank
        levels = [0.0, *(CHUNK_TINT * chunk / (self.chunks - 1) for chunk in range(1, self.chunks))]
        self.tint = {
            (rank, stage): level
            for rank, held in enumerate(chunks)
            for stage, level in zip(sorted(held), levels, strict=False)
        }

    def __call__(self, rank: int, part: Action) -> float:
        if self.bidirectional:
            return CHUNK_TINT if 2 * part.microbatch >= self.microbatches else 0.0
        return self.tint[rank, part.stage]
