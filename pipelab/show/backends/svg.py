"""SVG: a timeline as text that a browser draws, fast enough to follow a slider.

A path per colour and one short text per label: that is what keeps a thousand actions quick. Text and axes take the
page's own colours, light or dark.
"""

from __future__ import annotations

from html import escape
from typing import NamedTuple

import numpy as np

from ...timeline import Timeline
from ..figures import number
from ..palette import LABEL, OVERLAP, STYLES, TRACK
from ..scene.shapes import PAGE, WIDTH, Box, Line, Scene, Text
from ..scene.timeline_scene import Boxes, boxes, kinds, tints_mean

_LEFT, _RIGHT, _ABOVE, _BELOW, _BAR = 58, 20, 24, 36, 0.88
_COPIES = (
    '<defs><pattern id="pipelab-copies" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="1.3" height="5" fill="#fff" fill-opacity="0.75"/></pattern></defs>'
)
_INK = "var(--jp-content-font-color1, currentColor)"
_HATCH = (
    '<pattern id="pipelab-hatch" width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<rect width="1.2" height="4" fill="#fff" fill-opacity="0.6"/></pattern>'
)


class Geometry(NamedTuple):
    """Where things lie in a picture, so that layers over it fit: ranks, height of a row, time axis' end and scale."""

    ranks: int
    row: float
    until: float
    scale: float

    @classmethod
    def of(cls, timeline: Timeline, until: float | None = None) -> Geometry:
        """until: where the time axis ends; None: with the timeline."""
        until = until or float(timeline.makespan) or 1.0
        row = 30 if timeline.num_ranks <= 8 else max(11, 240 // timeline.num_ranks)
        return cls(timeline.num_ranks, row, until, (WIDTH - _LEFT - _RIGHT) / until)

    @property
    def bottom(self) -> float:
        """Of the last row."""
        return _ABOVE + self.row * self.ranks

    def x(self, time: float) -> float:
        """Of a time, counted from the timeline's begin."""
        return _LEFT + time * self.scale

    def box(self, rank: int, start: float, end: float) -> tuple[float, float, float, float]:
        """(left, top, width, height) of a whole action."""
        top = _ABOVE + self.row * (rank + (1 - _BAR) / 2)
        return self.x(start), top, (end - start) * self.scale, self.row * _BAR

    def open(self, css: str = "", style: str = "", attributes: str = "") -> str:
        """The opening tag of a picture, or of a layer over it."""
        return (
            f'<svg class="{css}" viewBox="0 0 {WIDTH} {self.bottom + _BELOW:g}" {attributes} font-size="12" '
            f'style="width:100%;max-width:1200px;display:block;{style}" '
            'font-family="var(--jp-ui-font-family, sans-serif)">'
        )

    def footnote(self, text: str) -> str:
        """A line of text below the axis, at the left; `text` is markup."""
        return f'<text x="{_LEFT}" y="{self.bottom + 33:g}" fill="{_INK}">{text}</text>'


def timeline_svg(timeline: Timeline, *, title: str, description: str = "", until: float | None = None) -> str:
    """A timeline as an SVG element.

    title        stands above it;  description: what a screen reader says of it
    until        where the time axis ends; None: with the timeline
    """
    drawn = boxes(timeline)
    geometry = Geometry.of(timeline, until)
    parts = [
        geometry.open(attributes=f'role="img" aria-label="{escape(description or title)}"'),
        f'<defs>{_HATCH}</defs><text x="0" y="14" fill="{_INK}">{escape(title)}</text>',
        *_rows(geometry, float(timeline.makespan)),
        *_boxes(drawn, geometry),
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


def _rows(geometry: Geometry, length: float) -> list[str]:
    boxes = [geometry.box(rank, 0, length) for rank in range(geometry.ranks)]
    tracks = "".join(f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z" for x, y, width, height in boxes)
    names = "".join(
        f'<text x="{_LEFT - 8}" y="{_ABOVE + geometry.row * (rank + 0.5) + 4:.1f}">rank {rank}</text>'
        for rank in range(geometry.ranks)
    )
    return [
        f'<path d="{tracks}" fill="{TRACK}"/>',
        f'<g text-anchor="end" fill="{_INK}" font-size="{min(12, geometry.row):g}">{names}</g>',
    ]


def _boxes(drawn: Boxes, geometry: Geometry) -> list[str]:
    bar = geometry.row * _BAR
    left, width = _LEFT + drawn.left * geometry.scale, (drawn.right - drawn.left) * geometry.scale
    above = _ABOVE + geometry.row * (drawn.rank + (1 - _BAR) / 2)
    top = above + bar * drawn.top
    height = bar * (drawn.bottom - drawn.top)
    gap = np.minimum(0.7, width / 4)  # a thin line between neighbours
    shapes = [
        f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h-{w:.1f}z"
        for x, y, w, h in zip(left.tolist(), top.tolist(), (width - gap).tolist(), height.tolist(), strict=True)
    ]
    digits = np.array([len(label) for label in drawn.labels])
    # Too small for a label: hatched instead.
    narrow = ~drawn.labelled((width >= 2 + 5.2 * digits) & (height >= 9))
    tight = ~narrow & (width < 5 + 6.5 * digits)
    parts, hatched = [], []
    styles = drawn.style.tolist()
    for style, ((kind, _), colour) in enumerate(zip(drawn.styles, drawn.colours, strict=True)):
        parts.append(
            f'<path fill="{colour}" d="{"".join(s for s, own in zip(shapes, styles, strict=True) if own == style)}"/>'
        )
        if STYLES[kind].hatched:
            hatched += [s for s, own, bare in zip(shapes, styles, narrow, strict=True) if bare and own == style]
    if hatched:
        parts.append(f'<path fill="url(#pipelab-hatch)" d="{"".join(hatched)}"/>')
    if drawn.frames:
        frames = [
            f"M{left[i]:.1f} {above[i]:.1f}h{width[i] - gap[i]:.1f}v{2 * height[i]:.1f}h-{width[i] - gap[i]:.1f}z"
            for i in drawn.frames
        ]
        parts.append(f'<path fill="none" stroke="{OVERLAP}" stroke-width="1.2" d="{"".join(frames)}"/>')
    middle, centre = (left + width / 2).tolist(), (top + height / 2 + 4).tolist()
    for chosen, size in ((~narrow & ~tight, 11), (tight, 9)):
        labels = "".join(
            f'<text x="{middle[i]:.1f}" y="{centre[i]:.1f}">{drawn.labels[i]}</text>' for i in np.flatnonzero(chosen)
        )
        parts.append(f'<g text-anchor="middle" fill="{LABEL}" font-size="{min(size, bar * 0.8):.1f}">{labels}</g>')
    return parts


def _axis(geometry: Geometry, unit: str) -> list[str]:
    """A line with round numbers below the rows."""
    step, bottom = _round_step(geometry.until / 10), geometry.bottom
    times = [step * i for i in range(int(geometry.until / step + 1e-9) + 1)]
    ticks = "".join(f"M{geometry.x(time):.1f} {bottom + 2:g}v4" for time in times)
    names = "".join(f'<text x="{geometry.x(time):.1f}" y="{bottom + 18:g}">{number(time)}</text>' for time in times)
    end = WIDTH - _RIGHT
    return [
        f'<path d="M{_LEFT} {bottom + 2:g}H{end}{ticks}" stroke="{_INK}" stroke-opacity="0.6" fill="none"/>',
        f'<g text-anchor="middle" fill="{_INK}" font-size="11">{names}</g>',
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
        for style in (STYLES[kind] for kind in kinds(*timelines))
    )
    if note := tints_mean(*timelines):
        entries += f"<i>{escape(note)}</i>"
    return f'<div style="font-size:12px;line-height:18px">{entries}</div>'


def scene_svg(scene: Scene, description: str) -> str:
    """A scene as an SVG element. description: what a screen reader says of it."""
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {scene.height:g}" role="img" aria-label="{escape(description)}" '
        'style="width:100%;max-width:1200px;display:block" font-family="var(--jp-ui-font-family, sans-serif)">',
        _COPIES,
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
    colour = _INK if line.colour == PAGE else line.colour
    return (
        f'<path d="M{line.x0:.1f} {line.y0:.1f}L{line.x1:.1f} {line.y1:.1f}" stroke="{colour}" '
        f'stroke-width="{line.width:g}"{dash}/>'
    )


def _text_svg(text: Text) -> str:
    colour = _INK if text.colour == PAGE else text.colour
    bold = ' font-weight="bold"' if text.bold else ""
    return (
        f'<text x="{text.x:.1f}" y="{text.y:.1f}" text-anchor="{text.anchor}" font-size="{text.size:.3g}" '
        f'fill="{colour}"{bold} pointer-events="none">{escape(text.text)}</text>'
    )
