"""Dense: boxes hardly wider than a pixel, drawn as what every pixel holds of them.

One by one they would take seconds, and be wrong: with edges rounded to whole pixels, some disappear and others double.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba_array

from ..scene.chart import Chart


class DenseBoxes(Artist):
    """A chart's boxes. Where a file has pixels, each is the mean of the colours in it; PDF and SVG have every box.

    corners: of each box, from its upper left on, in time and rows
    """

    zorder = 1

    def __init__(self, chart: Chart, corners: np.ndarray) -> None:
        super().__init__()
        self.style, self.colours, self.corners = chart.style, to_rgba_array(chart.colours), corners

    def draw(self, renderer: RendererBase) -> None:
        if isinstance(renderer, RendererAgg):
            renderer.draw_image(renderer.new_gc(), *self._image())
            return
        corners: Any = self.corners
        boxes = PolyCollection(corners, facecolors=self.colours[self.style], linewidths=0)
        boxes.set_figure(self.get_figure(root=True))  # type: ignore[arg-type]
        boxes.set_transform(self.get_transform())
        boxes.draw(renderer)

    def _image(self) -> tuple[int, int, np.ndarray]:
        """The place of an image's lower left pixel, and its lines of pixels from there upwards."""
        view, styles = self.axes.bbox, len(self.colours)  # type: ignore[union-attr]
        begin, width = int(view.x0), int(np.ceil(view.x1)) - int(view.x0)
        places = self.get_transform().transform(self.corners[:, [3, 1]].reshape(-1, 2)).reshape(-1, 2, 2)
        # Boxes between the same lines of pixels are in one lane.
        low, high = places[:, :, 1].round().astype(int).T
        heights, lane = np.unique(low << 32 | np.maximum(high, low + 1), return_inverse=True)
        row = (lane * styles + self.style) * (width + 2)  # where the pixels of its lane and style begin
        # How much of a pixel is covered grows along the row where a box begins, and shrinks where one ends.
        changes = []
        for edges, sign in zip(np.clip(places[:, :, 0] - begin, 0, width).T, (1, -1), strict=True):
            pixel = edges.astype(int)
            inside = edges - pixel
            changes += [(row + pixel, sign * (1 - inside)), (row + pixel + 1, sign * inside)]
        where, amount = (np.concatenate(column) for column in zip(*changes, strict=True))
        grown = np.bincount(where, amount, minlength=len(heights) * styles * (width + 2))
        covered = grown.reshape(-1, styles, width + 2).cumsum(axis=2)[:, :, :width]
        painted = covered.transpose(0, 2, 1) @ self.colours  # red, green and blue times alpha; alpha
        lines = np.unique([heights >> 32, heights & 0xFFFFFFFF])
        bands = np.zeros((len(lines) - 1, width, 4))
        for height, paint in zip(heights.tolist(), painted, strict=True):
            first, last = np.searchsorted(lines, (height >> 32, height & 0xFFFFFFFF))
            bands[first:last] += paint
        bands[:, :, :3] /= np.maximum(bands[:, :, 3:], 1e-9)
        pixels = (255 * bands.clip(0, 1)).round().astype(np.uint8)
        return begin, int(lines[0]), np.repeat(pixels, np.diff(lines), axis=0)
