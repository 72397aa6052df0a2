"""A timeline as a chart: a row per rank, a box per action."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir import Action
from ...timeline import COMM, Timeline
from ..palette import CHUNK_TINT, STYLES
from .chart import BAR, Chart, ChartBox, columns

_COMPUTE_SHARE = 0.68  # of a row's height, where it shows a communication stream as well
_GAP = 0.06  # of it, between the two


def timeline_chart(timeline: Timeline, until: float, scale: float, row: float) -> Chart:
    """Lay a timeline out. An overlapped pair is two boxes in a frame, its forward above its backward.

    until: where the time axis ends;  scale: units of length in a unit of time;  row: a row's height, in units
    """
    tint_of = Tints(timeline)
    height = BAR * (_COMPUTE_SHARE if (timeline.stream == COMM).any() else 1.0)
    boxes: list[ChartBox] = []
    frames: list[int] = []
    lefts, rights = (timeline.start - timeline.begin).tolist(), (timeline.end - timeline.begin).tolist()
    spans = zip(timeline.actions, timeline.stream.tolist(), timeline.rank.tolist(), lefts, rights, strict=True)
    for action, stream, rank, left, right in spans:
        top = rank - BAR / 2
        if stream == COMM:
            boxes.append(ChartBox(left, right, top + height + _GAP * BAR, top + BAR, COMM))
            continue
        if action.parts:
            frames.append(len(boxes))
        share = height / len(action.computes) if action.parts else height
        for place, part in enumerate(action.computes):
            edges = (left, right, top + place * share, top + (place + 1) * share)
            boxes.append(ChartBox(*edges, part.kind, tint_of(rank, part), str(part.microbatch)))
    found = columns(boxes)
    names = [(rank, f"rank {rank}") for rank in range(timeline.num_ranks)]
    rows: dict[str, Any] = {"rows": names, "limits": (-0.5, len(names) - 0.5), "row": row}
    axis: dict[str, Any] = {"begin": 0.0, "until": until, "scale": scale}
    return Chart(**found, **rows, **axis, sizes=_sizes(found, scale, row), frames=frames)


def _sizes(found: dict, scale: float, row: float) -> np.ndarray:
    """Sizes of the labels' letters; 0 where a label has no room."""
    wide, tall = (found["right"] - found["left"]) * scale, (found["bottom"] - found["top"]) * row
    digits = np.array([len(label) for label in found["labels"]])
    shown = all_or_none(style := found["style"], (wide >= 2 + 5.3 * digits) & (tall >= 8.5))
    tight = np.bincount(style, shown & (wide < 5 + 6.5 * digits))[style] > 0  # then all of its style are as small
    return np.where(shown, np.minimum(np.where(tight, 9.5, 11), 0.95 * tall).round(1), 0)


def all_or_none(style: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Which boxes show their label, of those that have room for it.

    Of a style whose labels mostly have no room, none does: measured actions are not all of one length, and the few
    that are long enough would stand there as if they were chosen.
    """
    every, fitting = (np.bincount(style, weights) for weights in (None, room))
    return room & (2 * fitting >= every)[style]


def kinds(*timelines: Timeline) -> list[str]:
    """The kinds of action that occur, in the palette's order: what a legend must explain."""
    there = {part.kind for timeline in timelines for action in timeline.actions for part in action.computes}
    if any((timeline.stream == COMM).any() for timeline in timelines):
        there.add(COMM)
    return [kind for kind in STYLES if kind in there]


def tints_mean(*timelines: Timeline) -> str:
    """What lighter boxes are, in these timelines; empty where no box is lighter."""
    notes = {timeline.name: note for timeline in timelines if (note := Tints(timeline).meaning)}
    if len(set(notes.values())) > 1:
        return "lighter: " + "; ".join(f"{note} ({name})" for name, note in notes.items())
    return f"lighter: {next(iter(notes.values()))}" if notes else ""


class Tints:
    """How much lighter an action is drawn: a rank's later chunks more, and so are micro-batches on the second route.

    Where a stage is on two ranks for different micro-batches, the pipeline is bidirectional, and its second half of
    micro-batches goes up. (Ranks that share experts hold a stage for the same micro-batches.)
    """

    def __init__(self, timeline: Timeline) -> None:
        spans = zip(timeline.rank.tolist(), timeline.actions, strict=True)
        done = {(part.stage, part.microbatch, rank) for rank, action in spans for part in action.computes}
        held = {(rank, stage) for stage, _, rank in done}
        self.microbatches = 1 + max((microbatch for _, microbatch, _ in done), default=-1)
        shared = len({task[:2] for task in done}) < len(done)
        self.bidirectional = not shared and len({stage for _, stage in held}) < len(held)
        stages = [sorted(stage for holder, stage in held if holder == rank) for rank in range(timeline.num_ranks)]
        self.chunks = max(map(len, stages), default=0)  # per rank
        last = max(1, self.chunks - 1)
        self.tint = {
            (rank, stage): CHUNK_TINT * chunk / last
            for rank, its in enumerate(stages)
            for chunk, stage in enumerate(its)
        }

    def __call__(self, rank: int, part: Action) -> float:
        if self.bidirectional:
            return CHUNK_TINT if 2 * part.microbatch >= self.microbatches else 0.0
        return self.tint[rank, part.stage]

    @property
    def meaning(self) -> str:
        if self.bidirectional:
            return "micro-batches of the other direction"
        return "a rank's later stages" if self.chunks > 1 else ""
