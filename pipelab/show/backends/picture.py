"""Picture: a matplotlib figure that shows itself in a notebook, without pyplot and its global state."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from ..palette import INK
from ..scene.shapes import PAGE, WIDTH, Scene

_DPI = 170  # pixels per inch of the file
_SHOWN_DPI = 96  # in a notebook, which so has pixels to spare for sharp screens
_POINTS = 0.72  # of a unit: a hundredth of an inch
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.62, 0.12, 0.3, 0.5  # inches around the panels


class Picture(Figure):
    """Panels of given heights, one above the other, on one time axis. All sizes are in inches.

    The ground is transparent, and the ink such that a light page and a dark one both show it. Margins are fixed: to let
    matplotlib find them takes as long as drawing a thousand actions.
    """

    def __init__(self, width: float, panels: Sequence[float]) -> None:
        height = sum(panels) + _ABOVE * len(panels) + _BELOW
        super().__init__(figsize=(width, height), dpi=100)
        self.set_facecolor("none")
        self.panel_width = width - _LEFT - _RIGHT
        self.panels: list[Axes] = []
        upper = height
        for panel in panels:
            upper -= _ABOVE + panel
            place = (_LEFT / width, upper / height, self.panel_width / width, panel / height)
            self.panels.append(self.add_axes(place, sharex=self.panels[0] if self.panels else None))

    def png(self) -> bytes:
        """The picture as a PNG file."""
        file = BytesIO()
        self.savefig(file, format="png", dpi=_DPI)
        return file.getvalue()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        width, height = self.get_size_inches() * _SHOWN_DPI
        size = {"width": round(width), "height": round(height)}
        return {"image/png": self.png(), "text/plain": "<a picture>"}, {"image/png": size}


def picture_formats() -> tuple[str, ...]:
    """The endings of files that a picture can be saved to, such as png."""
    return tuple(FigureCanvasBase.get_supported_filetypes())


def plain(axes: Axes, x: str) -> None:
    """Axes with what is below only: a line, its numbers, and what they count. No ground, and no box around."""
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.set_xlabel(x, color=INK, fontsize=8, loc="right", labelpad=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(INK)


def legend_below(axes: Axes, handles: Sequence[Artist] | None = None, handlelength: float = 1.0) -> None:
    """What the colours mean, in one row below the time axis. handles: None: of all that has a label."""
    if handles is None:
        handles = axes.get_legend_handles_labels()[0]
    height = axes.get_position().height * axes.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    legend = axes.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.0, -0.24 / height),
        ncols=max(1, len(handles)),
        fontsize=8,
        frameon=False,
        handlelength=handlelength,
        handleheight=1.0,
        borderpad=0.0,
        borderaxespad=0.0,
        columnspacing=1.2,
    )
    for text in legend.get_texts():
        text.set_color(INK)


def scene_picture(scene: Scene) -> Picture:
    """A scene with matplotlib."""
    picture = Picture(WIDTH / 100, [scene.height / 100])
    picture.set_size_inches(WIDTH / 100, scene.height / 100)
    (axes,) = picture.panels
    axes.set_position((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(scene.height, 0)
    for box in scene.boxes:
        alpha = box.opacity if box.opacity < 1 else None  # 1 would undo a colour's own
        drawn = Rectangle((box.x, box.y), box.width, box.height, alpha=alpha, linewidth=1.6)
        drawn.set(facecolor=box.fill or "none", edgecolor=box.frame or "none")
        axes.add_patch(drawn)
        if box.hatched:
            stripes = Rectangle((box.x, box.y), box.width, box.height, alpha=alpha, linewidth=0)
            stripes.set(facecolor="none", edgecolor="white", hatch="////")
            axes.add_patch(stripes)
    for line in scene.lines:
        drawn_line = Line2D((line.x0, line.x1), (line.y0, line.y1), linewidth=line.width)
        drawn_line.set_color(INK if line.colour == PAGE else line.colour)
        if line.dash:
            drawn_line.set_dashes([float(length) for length in line.dash.split()])
        axes.add_line(drawn_line)
    sides = {"start": "left", "middle": "center", "end": "right"}
    for x, y, text, anchor, size, colour, bold in scene.texts:
        axes.text(
            x,
            y,
            text,
            ha=sides[anchor],
            va="baseline",
            fontsize=size * _POINTS,
            color=INK if colour == PAGE else colour,
            fontweight="bold" if bold else "normal",
        )
    return picture
