"""Phases: what a rank computes and what it communicates meanwhile, phase by phase, as a picture of two streams."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ...profiler.kernels import COMMUNICATION, COMPUTATION, ROLES
from ...profiler.profile import ProfileBlock
from ...simulator.segment_order import COMM, COMPUTE
from ...timeline import Intervals
from ..backends.picture import Picture, legend_below
from ..figures import number
from ..palette import INK, STYLES
from .profile_plots import _EXPOSED, _ROW, _THIN, _draw, _frame, _kind, _patches
from .timeline_plots import WIDTH

_BAR = 0.9  # of a row that its blocks fill
_ROLES = {COMPUTE: ROLES[COMPUTATION], COMM: ROLES[COMMUNICATION]}
_SHORT = {"attention": "attn"}  # boxes are narrow

Phases = Sequence[tuple[str, str, str, Any, Any]]  # (stream, name, direction, start, end)


def plot_segments(panels: Mapping[str, Phases], *, unit: str = "ms", width: float = WIDTH) -> Picture:
    """Draw phases, one panel for each title, on one time axis: what is computed, communicated and not hidden.

    panels  title -> phases, such as ("comm", "dispatch", "F", 1.5, 3.0): a Hiding's `segments`, or `place_segments`

    >>> from pipelab import Costs
    >>> from pipelab.simulator.segment_order import DEEPSEEK, place_segments
    >>> placed = place_segments(DEEPSEEK, Costs(8, 8, 8, forward_comm=12, backward_input_comm=12))
    >>> plot_segments({"DeepSeek's order": placed}, unit="").savefig("order.png")  # doctest: +SKIP
    """
    if not panels or not all(panels.values()):
        raise ValueError("nothing to draw: give each title its phases")
    height = 2 * _ROW + _THIN
    picture = Picture(width, [height] * len(panels))
    until = max(float(end) for phases in panels.values() for *_, end in phases)
    kinds: set[str | None] = set()
    for axes, (title, phases) in zip(picture.panels, panels.items(), strict=True):
        blocks = [
            ProfileBlock("", _ROLES[stream], f"{_SHORT.get(name, name)}({direction})", float(start), float(end))
            for stream, name, direction, start, end in sorted(phases, key=lambda phase: float(phase[3]))
            if end > start
        ]
        kinds |= {_kind(block) for block in blocks}
        gaps = [ProfileBlock("", "exposed", "", *gap) for gap in _exposed(blocks)]
        rows = (
            (COMPUTE, _ROW, [block for block in blocks if block.role == _ROLES[COMPUTE]]),
            (COMM, _ROW, [block for block in blocks if block.role == _ROLES[COMM]]),
            ("exposed", _THIN, gaps),
        )
        upper, places = 0.0, []
        for name, row, mine in rows:
            _draw(axes, mine, upper + (1 - _BAR) / 2 * row, _BAR * row, picture.panel_width / until)
            places.append((upper + row / 2, name))
            upper += row
        _frame(axes, places, 0, until, height)
        axes.set_title(f"{title} · {_caption(blocks, gaps, unit)}", color=INK, fontsize=9, loc="left", pad=4)
        if axes is not picture.panels[-1]:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
        else:
            axes.set_xlabel(f"time, {unit}" if unit else "time", color=INK, fontsize=8, loc="right", labelpad=0)
    meanings = {STYLES[kind].name: STYLES[kind].colour for kind in STYLES if kind in kinds}
    legend_below(picture.panels[-1], _patches({**meanings, "communication that nothing hides": _EXPOSED}))
    return picture


def _caption(blocks: list[ProfileBlock], gaps: list[ProfileBlock], unit: str) -> str:
    unit = f" {unit}" if unit else ""
    span = max(block.end for block in blocks) - min(block.start for block in blocks)
    communicates = _union(blocks, _ROLES[COMM]).total
    bare = sum(gap.end - gap.start for gap in gaps)
    share = f", {100 * (1 - bare / communicates):.0f} % hidden" if communicates else ""
    return f"{number(span)}{unit} · communication {number(communicates)}{unit}{share}"


def _union(blocks: Iterable[ProfileBlock], role: str) -> Intervals:
    chosen = [block for block in blocks if block.role == role]
    return Intervals([block.start for block in chosen], [block.end for block in chosen])


def _exposed(blocks: list[ProfileBlock]) -> list[tuple[float, float]]:
    """When something is communicated and nothing computed."""
    return [*_union(blocks, _ROLES[COMM]).minus(_union(blocks, _ROLES[COMPUTE]))]
