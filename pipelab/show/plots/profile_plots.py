"""Profiles and segments as pictures: what is computed, what is communicated meanwhile, and what nothing hides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...profiler.kernels import COMMUNICATION, COMPUTATION, ROLES
from ...profiler.profile import Profile, ProfileBlock
from ...timeline import COMM, COMPUTE, Intervals
from ...timeline.units import converted, ratio, unit_named
from ..backends.drawing import charts_picture
from ..backends.picture import INCHES, UNITS, Picture, panel_width
from ..figures import number, one_unit
from ..palette import EXPOSED
from ..scene.profile_scene import Row, profile_chart

_NAMES = {**dict(zip(ROLES, ("compute", "comm", "copy"), strict=True)), EXPOSED: EXPOSED}
_ROLES = {COMPUTE: ROLES[COMPUTATION], COMM: ROLES[COMMUNICATION]}
_SHORT = {"attention": "attn"}  # boxes are narrow

Segments = Sequence[tuple[str, str, str, Any, Any]]  # (stream, name, direction, start, end)


def plot_profile(
    profile: Profile, *, begin: float = 0, end: float | None = None, title: str | None = None, width: float = INCHES
) -> Picture:
    """Draw a profile: per device what it computes, what it communicates below, and what of that nothing hides.

    One block per annotation, coloured where its name tells a forward from a backward: "attn(F)", "backward". Whatever
    streams of one role do together is on one row; what overlaps there is side by side.

    Parameters
    ----------
    profile : Profile
        As `pipelab.profiler.load_profile` reads it.
    begin, end : float
        The part to draw, in ms; all by default.
    title : str, optional
        Its name and main figures by default.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For a part that is empty, or begins before 0.

    Examples
    --------
    >>> import json, tempfile
    >>> from pipelab.profiler import load_profile
    >>> kernel = {"ph": "X", "cat": "kernel", "name": "ncclKernel", "ts": 0, "dur": 5, "args": {"stream": 20}}
    >>> with tempfile.NamedTemporaryFile("w") as file:
    ...     json.dump([kernel, {**kernel, "name": "gemm", "ts": 3, "args": {"stream": 7}}], file)
    ...     file.flush()
    ...     len(plot_profile(load_profile(file.name)).panels)
    1
    """
    end = profile.span if end is None else end
    if profile.span and not 0 <= begin < end:
        raise ValueError(f"begin and end must be in order, from 0 to {profile.span:g} ms; got {begin:g} and {end:g}")
    blocks: dict[tuple[int | str, str], list[ProfileBlock]] = {}
    for block in profile.blocks():
        if block.start < end and block.end > begin:
            blocks.setdefault((block.device, block.role), []).append(block)
    for device in profile.devices:
        if (device, ROLES[COMMUNICATION]) in blocks:
            blocks[device, EXPOSED] = [block for block in profile.exposures() if block.device == device]
    order = [(device, role) for device in profile.devices for role in _NAMES if (device, role) in blocks]
    several = len(profile.devices) > 1
    rows = [(f"{device} " * several + _NAMES[role], blocks[device, role]) for device, role in order]
    return _draw({title or _caption(profile): rows}, begin, end or 1, "ms", width)


def plot_segments(panels: Mapping[str, Segments], *, unit: str | None = None, width: float = INCHES) -> Picture:
    """Draw segments, one panel for each title, on one time axis: what is computed, communicated and not hidden.

    Parameters
    ----------
    panels : mapping of str to sequence of (stream, name, direction, start, end)
        Such as ``("comm", "dispatch", "F", 1.5, 3.0)``: a `Hiding`'s segments, or what `place_segments` gives.
    unit : str, optional
        Of the time axis. Default: that of the last panel, where those of `place_segments` know theirs, and plain tuples
        are in ms. If it is given, it is the unit of whatever has none.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For no panels, or an empty one, and for abstract units beside others.

    Examples
    --------
    >>> from pipelab import Costs
    >>> from pipelab.simulator import place_segments
    >>> placed = place_segments("deepseek", Costs(8, 8, 8, forward_comm=12, backward_input_comm=12))
    >>> plot_segments({"DeepSeek's order": placed}).panels[0].get_title("left")
    "DeepSeek's order · 24.5 · communication 24, 98 % hidden"
    """
    if not panels or not all(panels.values()):
        raise ValueError("nothing to draw: give each title its segments")
    unit, alike = _in_one_unit(panels, unit)
    until = max(end for segments in alike.values() for *_, end in segments)
    drawn = {}
    for title, segments in alike.items():
        blocks = [
            ProfileBlock("", _ROLES[stream], f"{_SHORT.get(name, name)}({direction})", start, end)
            for stream, name, direction, start, end in sorted(segments, key=lambda segment: segment[3])
            if end > start
        ]
        mine = {stream: [block for block in blocks if block.role == role] for stream, role in _ROLES.items()}
        computed, communicated = (
            Intervals([block.start for block in mine[stream]], [block.end for block in mine[stream]])
            for stream in (COMPUTE, COMM)
        )
        exposed = communicated.minus(computed)
        mine[EXPOSED] = [ProfileBlock("", EXPOSED, "", *gap) for gap in exposed]
        span = max(block.end for block in blocks) - min(block.start for block in blocks)
        drawn[f"{title} · {_hidden(span, communicated, exposed, unit)}"] = list(mine.items())
    return _draw(drawn, 0, until, unit, width)


def _in_one_unit(panels: Mapping[str, Segments], unit: str | None) -> tuple[str, dict[str, list[Any]]]:
    """The unit of the time axis, and the segments of each panel with their times in it."""
    named = None if unit is None else unit_named(unit)
    units = [getattr(segments, "unit", "ms" if named is None else named) or named or "" for segments in panels.values()]
    axis = one_unit("one time axis", units if named is None else [*units, named])
    alike = {}
    for (title, segments), theirs in zip(panels.items(), units, strict=True):
        factor = (1, 1) if theirs == axis else ratio(theirs, axis)
        alike[title] = [(*what, *map(float, converted((start, end), *factor))) for *what, start, end in segments]
    return axis, alike


def _draw(panels: Mapping[str, list[Row]], begin: float, end: float, unit: str, width: float) -> Picture:
    """Panels of rows of blocks, each below its title."""
    charts = [profile_chart(rows, begin, end, panel_width(width) * UNITS) for rows in panels.values()]
    kinds = {kind for chart in charts for kind, _ in chart.styles}
    kinds |= {EXPOSED for rows in panels.values() for name, _ in rows if name.endswith(EXPOSED)}
    return charts_picture(width, [(chart, title, "") for title, chart in zip(panels, charts, strict=True)], unit, kinds)


def _caption(profile: Profile) -> str:
    """Its main figures in one line."""
    times = f"{number(profile.span)} ms · compute {number(profile.compute)} ms"
    hidden = f"{number(profile.overlap)} of {number(profile.communication)} ms of communication hidden"
    return f"{profile.name} · measured · {times} · {hidden}" + " · cut off" * profile.truncated


def _hidden(span: float, communicated: Intervals, exposed: Intervals, unit: str) -> str:
    share = f", {100 * (1 - exposed.total / communicated.total):.0f} % hidden" if communicated.total else ""
    return f"{number(span, unit)} · communication {number(communicated.total, unit)}{share}"
