"""Drawing: charts and scenes with matplotlib, as a handful of collections, however many boxes there are.

A patch and a text for each box would take ten times as long.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection as Shapes, LineCollection, PathCollection, PolyCollection
from matplotlib.colors import to_rgba, to_rgba_array
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import IdentityTransform, ScaledTranslation

from ..palette import INK, LABEL, OVERLAP, TRACK
from ..scene.chart import Chart, legend
from ..scene.shapes import PAGE, Box, Scene
from .dense import DenseBoxes
from .picture import UNITS, Picture, heading, legend_below

POINTS = 72 / UNITS  # of a unit
_BESIDE = 3.5 / 72  # inches from a row's name to the row
_EDGED = 3  # units: of narrower boxes a white edge would hide too much
_DENSE = 2  # units: of narrower boxes a stroke or a frame would hide all


def draw_chart(axes: Axes, chart: Chart) -> None:
    """A chart on axes as wide as it was laid out for."""
    left, right, top, bottom = chart.left, chart.right, chart.top, chart.bottom
    corners: Any = np.array([(left, top), (right, top), (right, bottom), (left, bottom)]).transpose(2, 0, 1)
    wide = (right - left) * chart.scale
    if 2 * np.count_nonzero(wide < _DENSE) > len(wide):
        axes.add_artist(DenseBoxes(chart, corners))
    else:
        edges = np.ones((len(corners), 4))
        edges[:, 3] = wide >= _EDGED
        faces = to_rgba_array(chart.colours)[chart.style]
        _add(axes, PolyCollection(corners, facecolors=faces, edgecolors=edges, linewidths=0.4))
    # One stroke per box, from its lower left to its upper right: matplotlib's hatches would take as long as all else.
    strokes = corners[chart.hatched & (wide >= _DENSE)][:, [3, 1]]
    _add(axes, LineCollection(strokes, colors="#FFFFFFB0", linewidths=1.2))
    _draw_labels(axes, chart)
    upper = chart.frames[wide[chart.frames] >= _DENSE]
    if len(upper):
        frames = corners[upper]
        frames[:, 2:, 1] = bottom[upper + 1][:, None]
        _add(axes, PolyCollection(frames, facecolors="none", edgecolors=OVERLAP, linewidths=0.9))
    axes.set_ylim(*chart.limits[::-1])
    draw_rows(axes, chart.rows, chart.begin, chart.until)


def charts_picture(
    width: float, titled: Sequence[tuple[Chart, str, str]], unit: str, kinds: Collection[str]
) -> Picture:
    """Charts one above the other, each with a title and a note, on one time axis; `kinds` are in the legend."""
    picture = Picture(width, [chart.height / UNITS for chart, _, _ in titled])
    for axes, (chart, title, note) in zip(picture.panels, titled, strict=True):
        draw_chart(axes, chart)
        heading(axes, title, note)
    picture.finish(f"time, {unit}" if unit else "time")
    legend_below(picture.panels[-1], legend(kinds))
    return picture


def draw_rows(axes: Axes, rows: Sequence[tuple[float, str]], begin: float, until: float) -> None:
    """The tracks of rows, (middle, name), and their names at the left, though not every name of very many."""
    _add(axes, LineCollection([[(begin, y), (until, y)] for y, _ in rows], colors=TRACK, linewidths=1, zorder=0))
    axes.set_xlim(begin, until)
    shown = rows[:: max(1, -(-len(rows) // 32))]
    axes.set_yticks([])  # names as texts: a tick takes longer than all that is in its row
    figure: Any = axes.get_figure(root=True)
    beside = axes.get_yaxis_transform() + ScaledTranslation(-_BESIDE, 0, figure.dpi_scale_trans)
    for middle, name in shown:
        figure.text(0, middle, name, ha="right", va="center_baseline", color=INK, fontsize=8, transform=beside)


def _add(axes: Axes, collection: Shapes) -> None:
    axes.add_collection(collection, autolim=False)


def _draw_labels(axes: Axes, chart: Chart) -> None:
    """Numbers, of which there are many, as shapes in one collection; names as texts."""
    middles = np.column_stack([chart.left + chart.right, chart.top + chart.bottom]) / 2
    shown = np.flatnonzero(chart.sizes)
    numeric = np.array([text.isdigit() for text in chart.labels[shown]], dtype=bool)
    if len(numbers := shown[numeric]):
        shapes = PathCollection(
            [*map(_outline, chart.labels[numbers])],
            (POINTS * chart.sizes[numbers]) ** 2,
            facecolors=LABEL,
            linewidths=0,
            offsets=middles[numbers],
            offset_transform=axes.transData,
        )
        shapes.set_transform(IdentityTransform())
        _add(axes, shapes)
    for place in shown[~numeric]:
        x, y = middles[place]
        look: dict[str, Any] = {"color": LABEL, "fontsize": POINTS * chart.sizes[place], "linespacing": 0.95}
        axes.text(x, y, chart.labels[place], ha="center", va="center", clip_on=True, **look)


@cache
def _outline(text: str) -> Path:
    """A text's outline, one point high and centred."""
    path = TextPath((0, 0), text, size=1, prop=FontProperties(family="DejaVu Sans"))
    box = path.get_extents()
    return Path(path.vertices - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2], path.codes)


def scene_picture(scene: Scene) -> Picture:
    """A scene as a picture."""
    width, height = scene.width / UNITS, scene.height / UNITS
    picture = Picture(width, [height])
    picture.set_size_inches(width, height)
    (axes,) = picture.panels
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_facecolor("none")
    axes.set_xlim(0, scene.width)
    axes.set_ylim(scene.height, 0)
    fills = [to_rgba(box.fill or "none", box.opacity if box.opacity < 1 else None) for box in scene.boxes]
    frames = [box.frame or "none" for box in scene.boxes]
    _add(axes, PolyCollection(_corners(scene.boxes), facecolors=fills, edgecolors=frames, linewidths=1.6))
    for opacity in {box.opacity for box in scene.boxes if box.hatched}:
        hatched = [box for box in scene.boxes if box.hatched and box.opacity == opacity]
        stripes = PolyCollection(_corners(hatched), facecolors="none", linewidths=0, hatch="////")
        stripes.set_edgecolor(to_rgba("white", opacity))
        _add(axes, stripes)
    for line in scene.lines:
        drawn = Line2D((line.x0, line.x1), (line.y0, line.y1), linewidth=line.width, color=_ink(line.colour))
        if line.dash:
            drawn.set_dashes([float(length) for length in line.dash.split()])
        axes.add_line(drawn)
    sides = {"start": "left", "middle": "center", "end": "right"}
    for x, y, text, anchor, size, colour, bold in scene.texts:
        style: dict[str, Any] = {"ha": sides[anchor], "va": "baseline", "fontweight": "bold" if bold else "normal"}
        axes.text(x, y, text, fontsize=size * POINTS, color=_ink(colour), **style)
    return picture


def _corners(boxes: Sequence[Box]) -> list:
    return [[(x, y), (x + width, y), (x + width, y + height), (x, y + height)] for x, y, width, height, *_ in boxes]


def _ink(colour: str) -> str:
    return INK if colour == PAGE else colour
