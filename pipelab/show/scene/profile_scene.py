"""Blocks of a profile or segments of a layer as a chart: what is computed, what is communicated, what is not hidden."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...profiler.kernels import ROLES
from ...profiler.profile import ProfileBlock
from ...timeline import COMM
from ..palette import EXPOSED, OTHER
from .chart import BAR, Chart, ChartBox, columns

_ROW, _THIN = 42, 12 / 42  # units; exposed communication has a thin row
_LETTER = 6 / 0.72  # a label's size, in units
_CHARACTER, _LINE = 0.619 * _LETTER, 1.15 * _LETTER  # its width and height

Row = tuple[str, list[ProfileBlock]]

#: A forward, a backward or a part of one, as annotations call them.
_KINDS = {
    "F": r"\(F\)|\bforward\b|\bfwd\b",
    "W": r"\(W\)|\bwgrad\b|weight.?grad",
    "I": r"\(I\)|\bdgrad\b|input.?grad",
    "B": r"\(BW?\)|\bbackward\b|\bbwd\b",
}


def profile_chart(rows: Sequence[Row], begin: float, until: float, width: float) -> Chart:
    """Lay out rows of blocks by name; what overlaps in a row is side by side. width: of the time axis, in units."""
    scale, upper = width / ((until - begin) or 1), 0.0
    boxes: list[ChartBox] = []
    names = []
    for name, blocks in rows:
        height = _THIN if name.endswith(EXPOSED) else 1.0
        lanes = _lanes(blocks)
        share = BAR * height / (1 + max(lanes, default=0))
        for block, lane in zip(blocks, lanes, strict=True):
            top = upper + (1 - BAR) / 2 * height + lane * share
            label = _label(block.annotation, (block.end - block.start) * scale, share * _ROW)
            boxes.append(ChartBox(block.start, block.end, top, top + share, kind_of(block), label=label))
        names.append((upper + height / 2, name))
        upper += height
    found = columns(boxes)
    sizes = np.array([_LETTER if label else 0 for label in found["labels"]])
    axis: dict[str, Any] = {"begin": begin, "until": until, "scale": scale}
    return Chart(**found, **axis, sizes=sizes, rows=names, limits=(0, upper or 1), row=_ROW)


def kind_of(block: ProfileBlock) -> str:
    """A key of the palette's STYLES."""
    if block.role == EXPOSED:
        return EXPOSED
    for kind, pattern in _KINDS.items():
        if re.search(pattern, block.annotation, re.IGNORECASE):
            return kind
    return COMM if block.role == ROLES[1] else OTHER


def _lanes(blocks: Iterable[ProfileBlock]) -> list[int]:
    """For each block, by start, the first lane that is free."""
    free: list[float] = []
    lanes = []
    for block in blocks:
        lane = next((i for i, until in enumerate(free) if until <= block.start), len(free))
        free[lane : lane + 1] = [block.end]
        lanes.append(lane)
    return lanes


def _label(annotation: str, width: float, height: float) -> str:
    """As much of a name as has room: "attn(F)" on one line, on two, or its F; all or nothing of other names."""
    name, bracket, rest = annotation.partition("(")
    options = [annotation, f"{name}\n({rest}", f"({rest}"] if bracket and name else [annotation]
    for text in options:
        lines = text.split("\n")
        if max(map(len, lines)) * _CHARACTER <= width and len(lines) * _LINE <= height:
            return text
    return ""
