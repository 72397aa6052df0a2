"""Hover: what an action needed and unblocked, and why a rank is idle, where the reader points.

A transparent layer over a timeline's picture. It needs no script: the browser shows a group's content while the mouse
is over its box. The picture below stays as quick as it is, for the layer comes only once the sliders rest.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from ...ir import Action
from ...timeline import Timeline
from ...timeline.dependencies import Doer
from ..backends.svg import Geometry
from ..figures import number

NEEDED, UNBLOCKED = "#0B5FA5", "#B3261E"
_STYLE = (
    "<style>.pipelab-hover g>g{visibility:hidden}.pipelab-hover g:hover>g{visibility:visible}"
    ".pipelab-hover rect{pointer-events:all;fill:transparent}"
    ".pipelab-hover g:hover>rect{stroke:var(--jp-content-font-color1,currentColor);stroke-width:2}"
    f".pipelab-hover .n{{stroke:{NEEDED};stroke-width:3;fill:none}}"
    f".pipelab-hover .u{{stroke:{UNBLOCKED};stroke-width:3;fill:none;stroke-dasharray:4 2}}</style>"
)


def hover_svg(timeline: Timeline, until: float | None = None) -> str:
    """The layer for the picture that `timeline_svg` makes with the same arguments."""
    geometry = Geometry.of(timeline, until)
    causes = timeline.dependencies
    unblocked: dict[Doer, list[Doer]] = {}
    for rank, action in causes.extents:
        for need in causes.needs(action):
            unblocked.setdefault(need, []).append((rank, action))
    groups = []
    for doer, (start, end) in causes.extents.items():
        needs, frees = causes.needs(doer[1]), unblocked.get(doer, [])
        text = explain(timeline, doer, needs, frees)
        marks = _outlines("n", needs, geometry, timeline) + _outlines("u", frees, geometry, timeline)
        groups.append(_group(geometry, timeline, doer[0], start, end, text, marks))
    for gap in timeline.gaps(shortest=float(timeline.makespan) * 1e-3):
        source = [(gap.source, gap.waits_for)] if gap.source is not None and gap.waits_for is not None else []
        text = f"{gap.reason}, from {number(gap.start)} to {number(gap.end)}"
        marks = _outlines("n", source, geometry, timeline)
        groups.append(_group(geometry, timeline, gap.rank, gap.start, gap.end, text, marks))
    return f"{geometry.open('pipelab-hover', 'pointer-events:none')}{_STYLE}{''.join(groups)}</svg>"


def explain(timeline: Timeline, doer: Doer, needs: Iterable[Doer], frees: Iterable[Doer]) -> str:
    """One line on an action: when it was done, what it needed, what it unblocked."""
    rank, action = doer
    start, end = timeline.dependencies.extents[doer]
    parts = [f"{action} on rank {rank}, from {number(start)} to {number(end)}"]
    if needed := _listed(needs, rank):
        parts.append(f"needed {needed}")
    if freed := _listed(frees, rank):
        parts.append(f"unblocked {freed}")
    return " · ".join(parts)


def _listed(doers: Iterable[Doer], here: int) -> str:
    return ", ".join(str(action) + ("" if rank == here else f" (rank {rank})") for rank, action in doers)


def _outlines(name: str, doers: Iterable[tuple[int, Action]], geometry: Geometry, timeline: Timeline) -> str:
    shapes = []
    for rank, action in doers:
        start, end = timeline.dependencies.extents[rank, action]
        x, y, width, height = geometry.box(rank, float(start - timeline.begin), float(end - timeline.begin))
        shapes.append(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
    return f'<path class="{name}" d="{"".join(shapes)}"/>' if shapes else ""


def _group(geometry: Geometry, timeline: Timeline, rank: int, start: object, end: object, text: str, marks: str) -> str:
    begin = timeline.begin
    x, y, width, height = geometry.box(rank, float(start - begin), float(end - begin))  # type: ignore[operator]
    return (
        f'<g><rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/><g>{marks}'
        f"{geometry.footnote(escape(text))}</g></g>"
    )
