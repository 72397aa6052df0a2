"""Hover: what an action needed and unblocked, and why a rank is idle, where the reader points.

A transparent layer over a timeline's picture. It needs no script: the browser shows what is in a group while the mouse
is over its box. The picture below stays as quick as it is, for the layer comes only once the sliders rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from ...timeline import Timeline
from ...timeline.dependencies import Doer
from ..backends.svg import Geometry, rectangle
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
    geometry, begin, known = Geometry.of(timeline, until), timeline.begin, timeline.dependencies
    needed = {doer: known.needs(doer[1]) for doer in known.extents}
    unblocked: dict[Doer, list[Doer]] = {}
    for doer, needs in needed.items():
        for need in needs:
            unblocked.setdefault(need, []).append(doer)

    def box(rank: int, start: Any, end: Any) -> tuple[float, float, float, float]:
        return geometry.box(rank, float(start - begin), float(end - begin))

    outline = {doer: rectangle(*box(doer[0], *extent)) for doer, extent in known.extents.items()}

    def group(rank: int, start: Any, end: Any, text: str, **marked: Sequence[Doer]) -> str:
        """What pointing at a box shows: a text, and outlines of others, by their class."""
        outlines = "".join(
            f'<path class="{name}" d="{"".join(outline[doer] for doer in doers)}"/>'
            for name, doers in marked.items()
            if doers
        )
        x, y, width, height = box(rank, start, end)
        return (
            f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>{outlines}'
            f"{geometry.footnote(escape(text))}</g>"
        )

    groups = []
    for doer, (start, end) in known.extents.items():
        needs, frees = needed[doer], unblocked.get(doer, [])
        text = _explained(doer, start, end, needed=needs, unblocked=frees)
        groups.append(group(doer[0], start, end, text, n=needs, u=frees))
    for gap in timeline.gaps(shortest=float(timeline.makespan) * 1e-3):
        source = [(gap.source, gap.waits_for)] if gap.source is not None and gap.waits_for is not None else []
        text = f"{gap.reason}, from {number(gap.start)} to {number(gap.end)}"
        groups.append(group(gap.rank, gap.start, gap.end, text, n=source))
    return f"{geometry.open('pipelab-hover', 'pointer-events:none')}{_STYLE}{''.join(groups)}</svg>"


def _explained(doer: Doer, start: Any, end: Any, **others: Sequence[Doer]) -> str:
    """One line on an action: when it was done, what it needed, what it unblocked."""
    here, action = doer
    text = f"{action} on rank {here}, from {number(start)} to {number(end)}"
    for what, doers in others.items():
        names = ", ".join(str(each) + ("" if rank == here else f" (rank {rank})") for rank, each in doers)
        text += f" · {what} {names}" if doers else ""
    return text
