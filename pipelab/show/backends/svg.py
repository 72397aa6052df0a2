"""SVG: charts and scenes as text that a browser draws, fast enough to follow a slider.

A path per colour and one short text per label: that is what keeps a thousand actions quick. Text and axes take the
page's own colours, light or dark.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any, NamedTuple

import numpy as np

from ...timeline import Timeline
from ..figures import number
from ..palette import LABEL, OVERLAP, TRACK
from ..scene.chart import BAR, Chart, legend
from ..scene.shapes import PAGE, WIDTH, Box, Line, Scene, Text
from ..scene.timeline_scene import kinds, timeline_chart, tints_mean

_LEFT, _RIGHT, _ABOVE, _BELOW = 58, 20, 24, 36
_INK = "var(--jp-content-font-color1, currentColor)"
_HATCH = (
    '<defs><pattern id="pipelab-{}" width="{}" height="{}" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="{}" height="{}" fill="#fff" fill-opacity="{}"/></pattern></defs>'
)
_NARROW, _COPIES = _HATCH.format("hatch", 4, 4, 1.2, 4, 0.6), _HATCH.format("copies", 5, 5, 1.3, 5, 0.75)


class Geometry(NamedTuple):
    """Where things lie in a timeline's picture, so that layers over it fit: ranks, height of a row, time axis' end."""

    ranks: int
    row: float
    until: float

    @classmethod
    def of(cls, timeline: Timeline, until: float | None = None) -> Geometry:
        """For a time axis that ends at `until`, or with the timeline."""
        row = 30 if timeline.num_ranks <= 8 else max(11, 240 // timeline.num_ranks)
        return cls(timeline.num_ranks, row, until or float(timeline.makespan) or 1.0)

    @property
    def scale(self) -> float:
        """Units of length in a unit of time."""
        return (WIDTH - _LEFT - _RIGHT) / self.until

    @property
    def bottom(self) -> float:
        """Of the last row."""
        return _ABOVE + self.row * self.ranks

    def x(self, time: Any) -> Any:
        """Of a time, counted from the timeline's begin."""
        return _LEFT + time * self.scale

    def box(self, rank: Any, start: Any, end: Any) -> tuple[Any, Any, Any, Any]:
        """(left, top, width, height) of a whole action, or arrays of those of many."""
        top = _ABOVE + self.row * (rank + (1 - BAR) / 2)
        return self.x(start), top, (end - start) * self.scale, self.row * BAR

    def open(self, css: str = "", style: str = "", attributes: str = "") -> str:
        """The opening tag of a picture, or of a layer over it."""
        return _open(WIDTH, self.bottom + _BELOW, f'class="{css}" {attributes} font-size="12"', style)

    def footnote(self, text: str) -> str:
        """A line of text below the axis, at the left; `text` is markup."""
        return f'<text x="{_LEFT}" y="{self.bottom + 33:g}" fill="{_INK}">{text}</text>'


def timeline_svg(timeline: Timeline, *, title: str, description: str = "", until: float | None = None) -> str:
    """A timeline as an SVG element.

    Parameters
    ----------
    timeline : Timeline
        What is drawn.
    title : str
        Stands above it.
    description : str, optional
        What a screen reader says of it; the title by default.
    until : float, optional
        Where the time axis ends; with the timeline by default.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> timeline_svg(simulate(gpipe(2, 2)), title="gpipe").count(">rank ")
    2
    """
    geometry = Geometry.of(timeline, until)
    chart = timeline_chart(timeline, geometry.until, geometry.scale, geometry.row)
    tracks = rectangles(*np.broadcast_arrays(*geometry.box(np.arange(geometry.ranks), 0, float(timeline.makespan))))
    parts = [
        geometry.open(attributes=f'role="img" aria-label="{escape(description or title)}"'),
        f'{_NARROW}<text x="0" y="14" fill="{_INK}">{escape(title)}</text>',
        f'<path d="{"".join(tracks)}" fill="{TRACK}"/>',
        _texts(
            [(_LEFT - 8, _ABOVE + geometry.row * (rank + 0.5) + 4, name) for rank, name in chart.rows],
            f'text-anchor="end" fill="{_INK}" font-size="{min(12, geometry.row):g}"',
        ),
        *_chart(chart, geometry),
        *_axis(geometry, timeline.unit or "time"),
        "</svg>",
    ]
    return "".join(parts)


def cursor_svg(timeline: Timeline, time: float, until: float | None = None) -> str:
    """A layer over the picture: a line at a time, counted from the timeline's begin, and a veil over the rest."""
    geometry = Geometry.of(timeline, until)
    x, height = geometry.x(time), geometry.bottom - _ABOVE
    return (
        f"{geometry.open('pipelab-cursor', 'pointer-events:none')}"
        f'<rect x="{x:.1f}" y="{_ABOVE}" width="{max(0.0, WIDTH - _RIGHT - x):.1f}" height="{height:g}" '
        'fill="var(--jp-layout-color0, #fff)" fill-opacity="0.65"/>'
        f'<path d="M{x:.1f} {_ABOVE - 4}v{height + 8:g}" stroke="{_INK}" stroke-width="2"/></svg>'
    )


def _open(width: float, height: float, attributes: str, style: str = "") -> str:
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" {attributes} style="width:100%;max-width:{1.25 * width:g}px;'
        f'display:block;{style}" font-family="var(--jp-ui-font-family, sans-serif)">'
    )


def rectangles(*box: np.ndarray) -> np.ndarray:
    """Rectangles as parts of a path. box: left, top, width, height"""
    return np.array([*map("M{0} {1}h{2}v{3}h-{2}z".format, *map(written, box))], dtype=object)


def written(values: np.ndarray) -> list[str]:
    """Numbers as text, with one decimal. Equal ones, of which there are many, are written once."""
    tenths, place = np.unique(np.rint(10 * values), return_inverse=True)
    return np.array([f"{tenth / 10:g}" for tenth in tenths.tolist()], dtype=object)[place].tolist()


def _texts(texts: Iterable[tuple[float, float, str]], attributes: str) -> str:
    """Texts that look alike."""
    found = "".join(f'<text x="{x:.1f}" y="{y:.4g}">{text}</text>' for x, y, text in texts)
    return f"<g {attributes}>{found}</g>"


def _chart(chart: Chart, geometry: Geometry) -> list[str]:
    """Boxes, hatches, frames and labels."""
    left, wide = _LEFT + chart.left * chart.scale, (chart.right - chart.left) * chart.scale
    top, tall = _ABOVE + (chart.top - chart.limits[0]) * chart.row, (chart.bottom - chart.top) * chart.row
    inner = wide - np.minimum(0.7, wide / 4)  # a thin line between neighbours
    shapes = rectangles(left, top, inner, tall)

    def path(boxes: np.ndarray) -> str:
        return "".join(shapes[boxes].tolist())

    parts = [f'<path fill="{colour}" d="{path(chart.style == i)}"/>' for i, colour in enumerate(chart.colours)]
    if (hatched := chart.hatched).any():
        # The boxes have smooth edges below it already; smooth ones here as well would take as long as all else.
        parts.append(f'<path fill="url(#pipelab-hatch)" shape-rendering="crispEdges" d="{path(hatched)}"/>')
    if len(chart.frames):
        pairs = rectangles(*(column[chart.frames] for column in (left, top, inner, 2 * tall)))
        parts.append(f'<path fill="none" stroke="{OVERLAP}" stroke-width="1.2" d="{"".join(pairs.tolist())}"/>')
    middle, centre = (left + wide / 2).tolist(), (top + tall / 2 + 0.36 * chart.sizes).tolist()
    for size in np.unique(chart.sizes[chart.sizes > 0]):
        labels = [(middle[box], centre[box], chart.labels[box]) for box in np.flatnonzero(chart.sizes == size)]
        parts.append(_texts(labels, f'text-anchor="middle" fill="{LABEL}" font-size="{size:g}"'))
    return parts


def _axis(geometry: Geometry, unit: str) -> list[str]:
    """A line with round numbers below the rows."""
    step, bottom, end = _round_step(geometry.until / 10), geometry.bottom, WIDTH - _RIGHT
    times = [step * i for i in range(int(geometry.until / step + 1e-9) + 1)]
    ticks = "".join(f"M{geometry.x(time):.1f} {bottom + 2:g}v4" for time in times)
    names = [(geometry.x(time), bottom + 18, number(time)) for time in times]
    return [
        f'<path d="M{_LEFT} {bottom + 2:g}H{end}{ticks}" stroke="{_INK}" stroke-opacity="0.6" fill="none"/>',
        _texts(names, f'text-anchor="middle" fill="{_INK}" font-size="11"'),
        f'<text x="{end}" y="{bottom + 31:g}" text-anchor="end" fill="{_INK}" font-size="11">{unit}</text>',
    ]


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, … (and 0.5, 0.2, …) that is at least this."""
    power = 10.0 ** np.floor(np.log10(least))
    return float(next(power * digit for digit in (1, 2, 5, 10) if power * digit >= least * (1 - 1e-9)))


def legend_html(*timelines: Timeline) -> str:
    """What the colours in these timelines' pictures mean."""
    entries = "".join(
        '<span style="display:inline-flex;align-items:center;margin-right:16px"><span style="width:12px;height:12px;'
        f'background:{style.colour};margin-right:6px"></span>{escape(style.name)}</span>'
        for style in legend(kinds(*timelines))
    )
    if note := tints_mean(*timelines):
        entries += f"<i>{escape(note)}</i>"
    return f'<div style="font-size:12px;line-height:18px">{entries}</div>'


def scene_svg(scene: Scene, description: str) -> str:
    """A scene as an SVG element. description: what a screen reader says of it."""
    parts = [
        _open(scene.width, scene.height, f'role="img" aria-label="{escape(description)}"'),
        _COPIES if any(box.hatched for box in scene.boxes) else "",
        *map(_box_svg, scene.boxes),
        *map(_line_svg, scene.lines),
        *map(_text_svg, scene.texts),
        "</svg>",
    ]
    return "".join(parts)


def _box_svg(box: Box) -> str:
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{max(0.0, box.width):.1f}" height="{max(0.0, box.height):.1f}"'
    frame = f' stroke="{box.frame}" stroke-width="2"' if box.frame else ""
    faint = f' opacity="{box.opacity:g}"' if box.opacity < 1 else ""
    hint = f"<title>{escape(box.hint)}</title>" if box.hint else ""
    found = f'<rect {place} fill="{box.fill or "none"}"{frame}{faint}>{hint}</rect>'
    return found + (f'<rect {place} fill="url(#pipelab-copies)" pointer-events="none"{faint}/>' if box.hatched else "")


def _line_svg(line: Line) -> str:
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    path = f"M{line.x0:.1f} {line.y0:.1f}L{line.x1:.1f} {line.y1:.1f}"
    return f'<path d="{path}" stroke="{_ink(line.colour)}" stroke-width="{line.width:g}"{dash}/>'


def _text_svg(text: Text) -> str:
    bold = ' font-weight="bold"' if text.bold else ""
    return (
        f'<text x="{text.x:.1f}" y="{text.y:.1f}" text-anchor="{text.anchor}" font-size="{text.size:.3g}" '
        f'fill="{_ink(text.colour)}"{bold} pointer-events="none">{escape(text.text)}</text>'
    )


def _ink(colour: str) -> str:
    return _INK if colour == PAGE else colour
