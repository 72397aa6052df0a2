"""Blocks of a profile or segments of a layer as a chart: what is computed, what is communicated, what is not hidden."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from ...profiler.kernels import ROLES
from ...profiler.profile import ProfileBlock
from ...timeline import COMM
from ..palette import EXPOSED, OTHER, STYLES
from .chart import BAR, Chart, in_styles

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
    # Of a block, [1:3] are its role and annotation, [3:] its start and end.
    scale, upper, kinds = width / ((until - begin) or 1), 0.0, list(STYLES)
    looks = {name: kinds.index(_kind(*name)) for name in {block[1:3] for _, blocks in rows for block in blocks}}
    names, labels = [], []
    edges, look = [np.zeros((4, 0))], [np.zeros(0, dtype=int)]  # of every row; edges are left, right, top, bottom
    for name, blocks in rows:
        height = _THIN if name.endswith(EXPOSED) else 1.0
        start, end = np.array([block[3:] for block in blocks], dtype=float).reshape(-1, 2).T
        lanes = np.array(_lanes(start.tolist(), end.tolist()), dtype=int)
        share = BAR * height / (1 + lanes.max(initial=0))
        top = upper + (1 - BAR) / 2 * height + lanes * share
        edges.append(np.stack([start, end, top, top + share]))
        look.append(np.array([looks[block[1:3]] for block in blocks], dtype=int))
        wide = ((end - start) * scale).tolist()
        labels += [_label(block.annotation, room, share * _ROW) for block, room in zip(blocks, wide, strict=True)]
        names.append((upper + height / 2, name))
        upper += height
    left, right, top, bottom = np.concatenate(edges, axis=1)
    return Chart(
        left,
        right,
        top,
        bottom,
        *in_styles(np.concatenate(look), [(kind, 0.0) for kind in kinds]),
        labels=np.array(labels, dtype=object),
        sizes=np.array([_LETTER if label else 0 for label in labels]),
        rows=names,
        limits=(0, upper or 1),
        row=_ROW,
        begin=begin,
        until=until,
        scale=scale,
    )


def _kind(role: str, annotation: str) -> str:
    """A key of the palette's STYLES."""
    if role == EXPOSED:
        return EXPOSED
    for kind, pattern in _KINDS.items():
        if re.search(pattern, annotation, re.IGNORECASE):
            return kind
    return COMM if role == ROLES[1] else OTHER


def _lanes(starts: Sequence[float], ends: Sequence[float]) -> list[int]:
    """For each block, by start, the first lane that is free."""
    free: list[float] = []
    lanes = []
    for start, end in zip(starts, ends, strict=True):
        lane = next((i for i, until in enumerate(free) if until <= start), len(free))
        free[lane : lane + 1] = [end]
        lanes.append(lane)
    return lanes


def _label(annotation: str, width: float, height: float) -> str:
    """As much of a name as has room: "attn(F)" on one line, on two, or its F; all or nothing of other names."""
    if width < _CHARACTER:
        return ""
    name, bracket, rest = annotation.partition("(")
    options = [annotation, f"{name}\n({rest}", f"({rest}"] if bracket and name else [annotation]
    for text in options:
        lines = text.split("\n")
        if max(map(len, lines)) * _CHARACTER <= width and len(lines) * _LINE <= height:
            return text
    return ""
