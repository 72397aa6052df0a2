"""Profile: what a profiled program's devices computed and communicated, and what of it was hidden, as a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ...profiler.kernels import ROLES
from ...profiler.profile import Profile, ProfileBlock
from ..backends.picture import Picture, legend_below, plain
from ..figures import number
from ..palette import COMM, INK, LABEL, STYLES, TRACK
from .timeline_plots import WIDTH

_ROW, _THIN = 0.42, 0.12  # inches; exposed communication has a thin row
_BAR = 0.9  # of a row that its blocks fill
_POINTS = 6
_CHARACTER = 0.0086 * _POINTS  # inches
_EDGED = 0.03  # inches: of narrower boxes a white edge would hide too much
_OTHER = "#B9BEC7"  # work that is neither a forward nor a backward
_EXPOSED = "#D1495B"
_NAMES = dict(zip(ROLES, ("compute", "comm", "copy"), strict=True))

#: A forward, a backward or a part of one, as annotations call them.
_KINDS = {
    "F": r"\(F\)|\bforward\b|\bfwd\b",
    "W": r"\(W\)|\bwgrad\b|weight.?grad",
    "I": r"\(I\)|\bdgrad\b|input.?grad",
    "B": r"\(B\)|\bbackward\b|\bbwd\b",
}


def plot_profile(
    profile: Profile, *, begin: float = 0, end: float | None = None, title: str | None = None, width: float = WIDTH
) -> Picture:
    """Draw a profile: per device what it computes, what it communicates below, and what of that nothing hides.

    One block per annotation, coloured where its name tells a forward from a backward: "attn(F)", "backward". Whatever
    streams of one role do together is on one row; what overlaps there is side by side. begin and end, in ms, choose a
    part of it; width is in inches. ValueError for a part that is none.

    >>> from pipelab import load_profile
    >>> plot_profile(load_profile("trace.json.gz"), begin=20, end=60).savefig("profile.png")  # doctest: +SKIP
    """
    end = profile.span if end is None else end
    if profile.span and not 0 <= begin < end:
        raise ValueError(f"begin and end must be in order, from 0 to {profile.span:g} ms; got {begin:g} and {end:g}")
    blocks = [block for block in profile.blocks() if block.start < end and block.end > begin]
    rows = [(device, role) for device in profile.devices for role in (*ROLES, "exposed")]
    shown = {(block.device, block.role) for block in blocks}
    rows = [row for row in rows if row in shown or row[1] == "exposed" and (row[0], ROLES[1]) in shown]
    heights = [_THIN if role == "exposed" else _ROW for _, role in rows] or [_ROW]
    picture = Picture(width, [sum(heights)])
    (axes,) = picture.panels
    upper, places, exposures = 0.0, [], profile.exposures()
    for (device, role), height in zip(rows, heights, strict=False):
        mine = exposures if role == "exposed" else blocks
        mine = [block for block in mine if (block.device, block.role) == (device, role)]
        _draw(axes, mine, upper + (1 - _BAR) / 2 * height, _BAR * height, picture.panel_width / ((end - begin) or 1))
        places.append((upper + height / 2, _name(device, role, len(profile.devices))))
        upper += height
    _frame(axes, places, begin, end or 1, sum(heights))
    axes.set_title(title or _caption(profile), color=INK, fontsize=9, loc="left", pad=4)
    there = {_kind(block) for block in blocks}
    meanings = {STYLES[kind].name: STYLES[kind].colour for kind in STYLES if kind in there}
    if any(role == "exposed" for _, role in rows):
        meanings["communication that nothing hides"] = _EXPOSED
    if meanings:
        legend_below(axes, _patches(meanings))
    return picture


def _patches(meanings: dict[str, str]) -> list[Patch]:
    return [Patch(facecolor=colour, edgecolor="w", label=name) for name, colour in meanings.items()]


def _caption(profile: Profile) -> str:
    """Its main figures in one line."""
    times = f"{number(profile.span)} ms · compute {number(profile.compute)} ms"
    hidden = f"{number(profile.overlap)} of {number(profile.communication)} ms of communication hidden"
    return f"{profile.name} · measured · {times} · {hidden}" + " · cut off" * profile.truncated


def _name(device: int | str, role: str, devices: int) -> str:
    name = _NAMES.get(role, role)
    return name if devices == 1 else f"{device} {name}"


def _kind(block: ProfileBlock) -> str | None:
    """A key of STYLES; None for work that is none of them."""
    for kind, pattern in _KINDS.items():
        if re.search(pattern, block.annotation, re.IGNORECASE):
            return kind
    return COMM if block.role == ROLES[1] else None


def _draw(axes: Axes, blocks: list[ProfileBlock], top: float, height: float, scale: float) -> None:
    """A row's blocks. scale: inches of a ms."""
    lanes = _lanes(blocks)
    share = height / (1 + max(lanes, default=0))
    corners, colours, edges, strokes = [], [], [], []
    for block, lane in zip(blocks, lanes, strict=True):
        kind, upper = _kind(block), top + lane * share
        lower = upper + share
        corners.append([(block.start, upper), (block.end, upper), (block.end, lower), (block.start, lower)])
        colours.append(_EXPOSED if block.role == "exposed" else STYLES[kind].colour if kind else _OTHER)
        width = (block.end - block.start) * scale
        edges.append(0.4 if width >= _EDGED else 0.0)
        if text := _label(block.annotation, width, share):
            style: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 0.95, "clip_on": True}
            axes.text((block.start + block.end) / 2, (upper + lower) / 2, text, color=LABEL, fontsize=_POINTS, **style)
        elif kind and STYLES[kind].hatched:
            strokes.append([(block.start, lower), (block.end, upper)])
    axes.add_collection(PolyCollection(corners, facecolors=colours, edgecolors="w", linewidths=edges), autolim=False)
    axes.add_collection(LineCollection(strokes, colors="#FFFFFFB0", linewidths=1.2), autolim=False)


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
    options = [annotation]
    if bracket and name:
        options += [f"{name}\n({rest}", f"({rest}"]
    for text in options:
        lines = text.split("\n")
        if max(map(len, lines)) * _CHARACTER <= width and len(lines) * _POINTS / 72 * 1.15 <= height:
            return text
    return ""


def _frame(axes: Axes, places: list[tuple[float, str]], begin: float, end: float, height: float) -> None:
    tracks = [[(begin, place), (end, place)] for place, _ in places]
    axes.add_collection(LineCollection(tracks, colors=TRACK, linewidths=1, zorder=0), autolim=False)
    axes.set_xlim(begin, end)
    axes.set_ylim(height, 0)
    axes.set_yticks([place for place, _ in places], [name for _, name in places])
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    plain(axes, "time, ms")
    axes.tick_params(axis="y", length=0)
