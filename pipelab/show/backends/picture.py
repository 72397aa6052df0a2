"""Pictures: matplotlib figures that show themselves in a notebook, without pyplot and its global state."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import ScaledTranslation

from ..palette import INK, Style

INCHES = 9.6  # the usual width
UNITS = 100  # of a scene, in an inch
_DPI = 170  # pixels per inch of the file
_SHOWN_DPI = 96  # in a notebook, which so has pixels to spare for sharp screens
_EFFORT = 3  # of compressing the file, of 9
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.62, 0.12, 0.3, 0.5  # inches around the panels
_NAME_BELOW = 14.5 / 72  # inches from the axis down to its name, below its numbers


class Picture(Figure):
    """Panels of given heights, one above the other, on one x axis. All sizes are in inches.

    The ground is transparent, and the ink such that a light page and a dark one both show it. Margins and the places of
    titles and names are fixed: to let matplotlib find them takes longer than drawing a thousand actions.
    """

    def __init__(self, width: float, panels: Sequence[float]) -> None:
        height = sum(panels) + _ABOVE * len(panels) + _BELOW
        super().__init__(figsize=(width, height), dpi=100)
        self.set_facecolor("none")
        self.panel_width = panel_width(width)
        self.panels: list[Axes] = []
        upper = height
        for panel in panels:
            upper -= _ABOVE + panel
            place = (_LEFT / width, upper / height, self.panel_width / width, panel / height)
            self.panels.append(self.add_axes(place, sharex=self.panels[0] if self.panels else None))
            _plain(self.panels[-1])

    def finish(self, x: str, *, grid: bool = False, integer: bool = False) -> None:
        """Give the last panel's axis numbers, and a name: what they count."""
        for axes in self.panels if grid else ():
            axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
        for axes in self.panels[:-1]:
            axes.tick_params(labelbottom=False)
        last = self.panels[-1]
        last.set_xlabel(x, color=INK, fontsize=8, loc="right")
        below = ScaledTranslation(0, -_NAME_BELOW, self.dpi_scale_trans)
        last.xaxis.set_label_coords(1, 0, transform=last.transAxes + below)
        steps = {"integer": True} if integer else {"steps": [1, 2, 5, 10]}
        last.xaxis.set_major_locator(MaxNLocator(16 if integer else 10, **steps))

    def png(self) -> bytes:
        """The picture as a PNG file."""
        file = BytesIO()
        self.savefig(file, format="rgba", dpi=_DPI)
        width = int(self.get_figwidth() * _DPI)
        return _png(np.frombuffer(file.getvalue(), np.uint8).reshape(-1, 4 * width))

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[dict, dict]:
        width, height = self.get_size_inches() * _SHOWN_DPI
        size = {"width": round(width), "height": round(height)}
        return {"image/png": self.png(), "text/plain": "<a picture>"}, {"image/png": size}


def _plain(axes: Axes) -> None:
    """Leave of the axes only the line below. Ticks that are made later look so from the start, which is quicker."""
    axes.set_facecolor("none")
    axes.tick_params(colors=INK, labelsize=8, length=3)
    axes.tick_params(axis="y", length=0)
    axes.spines[:].set_color(INK)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.yaxis.set_label_coords(0, 0.5)  # there is none: to find its place matplotlib would measure all numbers


def _png(rows: np.ndarray) -> bytes:
    """Rows of pixels, four bytes each, as a PNG file.

    Large areas of one colour compress best as they are. To try a filter for each row, as other writers do, takes three
    times as long for a larger file.
    """
    plain = np.pad(rows, ((0, 0), (1, 0)))  # every row begins with its filter's number: 0 for none
    header = struct.pack(
        ">2I5B", rows.shape[1] // 4, len(rows), 8, 6, 0, 0, 0
    )  # 8 bits each of red, green, blue, alpha
    density = round(_DPI / 0.0254)  # pixels per metre
    chunks = {
        b"IHDR": header,
        b"pHYs": struct.pack(">2IB", density, density, 1),
        b"IDAT": zlib.compress(plain.data, _EFFORT),
    }
    file = b"\x89PNG\r\n\x1a\n"
    for name, data in {**chunks, b"IEND": b""}.items():
        file += struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return file


def panel_width(width: float) -> float:
    """How wide the panels of a picture of that width are."""
    return width - _LEFT - _RIGHT


def picture_formats() -> tuple[str, ...]:
    """The endings of files that a picture can be saved to.

    Examples
    --------
    >>> "png" in picture_formats()
    True
    """
    return tuple(FigureCanvasBase.get_supported_filetypes())


def heading(axes: Axes, text: str, note: str = "") -> None:
    """A line above a panel, and a note at its right."""
    axes.set_title(text, color=INK, fontsize=9, loc="left", pad=4, y=1)
    axes.set_title(note, color=INK, fontsize=8, loc="right", pad=4, y=1)


def legend_below(axes: Axes, styles: Sequence[Style] = (), handlelength: float = 1.0) -> None:
    """What the colours mean, in one row below the x axis: those of styles, by default of all that has a label."""
    handles: list[Artist] = [Patch(facecolor=each.colour, edgecolor="w", label=each.name) for each in styles]
    handles = handles or axes.get_legend_handles_labels()[0]
    height = axes.get_position().height * axes.get_figure(root=True).get_figheight()  # type: ignore[union-attr]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.24 / height), "borderaxespad": 0}
    look: dict[str, Any] = {"fontsize": 8, "labelcolor": INK, "frameon": False, "borderpad": 0}
    room: dict[str, Any] = {"handlelength": handlelength, "handleheight": 1.0, "columnspacing": 1.2}
    axes.legend(handles=handles, ncols=max(1, len(handles)), **place, **look, **room)
