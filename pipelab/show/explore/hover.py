"""Hover: what an action needed and unblocked, and why a rank is idle, where the reader points.

A transparent layer over a timeline's picture. It needs no script: the browser shows what is in a group while the mouse
is over its box. The picture below stays as quick as it is, for the layer comes only once the sliders rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from ...timeline import Timeline
from ..backends.svg import Geometry, rectangles, written
from ..figures import number

NEEDED, UNBLOCKED = "#0B5FA5", "#B3261E"
# A hidden group would be laid out all the same: what is in it must be hidden.
_STYLE = (
    "<style>.pipelab-hover g:not(:hover)>rect~*{display:none}"
    ".pipelab-hover rect{pointer-events:all;fill:transparent}"
    ".pipelab-hover g:hover>rect{stroke:var(--jp-content-font-color1,currentColor);stroke-width:2}"
    f".pipelab-hover .n{{stroke:{NEEDED};stroke-width:3;fill:none}}"
    f".pipelab-hover .u{{stroke:{UNBLOCKED};stroke-width:3;fill:none;stroke-dasharray:4 2}}</style>"
)


def hover_svg(timeline: Timeline, until: float | None = None) -> str:
    """The layer for the picture that `timeline_svg` makes with the same arguments."""
    geometry, known = Geometry.of(timeline, until), timeline.dependencies
    actions, gaps = [*known.extents], timeline.gaps(shortest=float(timeline.makespan) * 1e-3)
    spans = [(rank, *extent) for (rank, _), extent in known.extents.items()]
    spans += [(gap.rank, gap.start, gap.end) for gap in gaps]
    rank, start, end = np.array(spans, dtype=object).reshape(-1, 3).T
    times = ((time - timeline.begin).astype(float) for time in (start, end))
    box = np.broadcast_arrays(*geometry.box(rank.astype(int), *times))
    when = [f", from {number(begins)} to {number(ends)}" for _, begins, ends in spans]

    place = {doer: i for i, doer in enumerate(actions)}
    needed = [[place[need] for need in known.needs(action)] for _, action in actions]
    unblocked: list[list[int]] = [[] for _ in actions]
    for doer, needs in enumerate(needed):
        for need in needs:
            unblocked[need].append(doer)
    names = [(on, str(action)) for on, action in actions]

    def listed(what: str, here: int, doers: Sequence[int]) -> str:
        told = [name if on == here else f"{name} (rank {on})" for on, name in map(names.__getitem__, doers)]
        return f" · {what} {', '.join(told)}" if told else ""

    texts = [
        f"{name} on rank {on}{lasting}{listed('needed', on, needs)}{listed('unblocked', on, frees)}"
        for (on, name), lasting, needs, frees in zip(names, when, needed, unblocked, strict=False)
    ]
    texts += [gap.reason + lasting for gap, lasting in zip(gaps, when[len(actions) :], strict=True)]
    for gap in gaps:  # a gap marks what the rank waits for
        needed.append([place[gap.source, gap.waits_for]] if gap.source is not None and gap.waits_for else [])
        unblocked.append([])

    outlines = rectangles(*box)
    groups = [
        f'<g><rect x="{x}" y="{y}" width="{width}" height="{height}"/>{_marks("n", outlines, needs)}'
        f"{_marks('u', outlines, frees)}{geometry.footnote(escape(text))}</g>"
        for x, y, width, height, text, needs, frees in zip(*map(written, box), texts, needed, unblocked, strict=True)
    ]
    return f"{geometry.open('pipelab-hover', 'pointer-events:none')}{_STYLE}{''.join(groups)}</svg>"


def _marks(css: str, outlines: np.ndarray, marked: Sequence[int]) -> str:
    return f'<path class="{css}" d="{"".join([outlines[each] for each in marked])}"/>' if marked else ""
