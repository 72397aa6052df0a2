"""Charts: boxes in rows along a time axis, whatever they stand for and whatever draws them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from ..palette import STYLES, Style, tinted

BAR = 0.88  # of a row's height that its boxes fill


@dataclass
class Chart:
    """Boxes in columns, all arrays of one length.

    left, right, top, bottom: edges, in time and in rows;  style: of each, an index into `styles`, (kind, tint);
    labels: what those say that have room, and "";  sizes: of these labels, in units, and 0;
    frames: the upper boxes of pairs, each of which has a frame with the next box;  rows: (middle, name) of each;
    limits: of all rows;  row: the height of one, in units;  begin, until: of the time axis;  scale: its units of
    length in a unit of time.
    """

    left: np.ndarray
    right: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    style: np.ndarray
    styles: list[tuple[str, float]]
    labels: np.ndarray
    sizes: np.ndarray
    rows: Sequence[tuple[float, str]]
    limits: tuple[float, float]
    row: float
    begin: float
    until: float
    scale: float
    frames: np.ndarray = field(default_factory=lambda: np.array([], dtype=int))

    @property
    def height(self) -> float:
        """Of all rows, in units."""
        return self.row * (self.limits[1] - self.limits[0])

    @property
    def colours(self) -> list[str]:
        """One per style."""
        return [tinted(STYLES[kind].colour, tint) for kind, tint in self.styles]

    @property
    def hatched(self) -> np.ndarray:
        """Which boxes show by a hatch what they have no room to say."""
        of_style = np.array([STYLES[kind].hatched for kind, _ in self.styles], dtype=bool)
        return (self.sizes == 0) & of_style[self.style]


def in_styles(look: np.ndarray, looks: Sequence[tuple[str, float]]) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """The columns `style` and `styles` of a chart, of boxes whose looks are these entries of `looks`."""
    there = np.flatnonzero(np.bincount(look, minlength=len(looks)))
    place = np.zeros(len(looks), dtype=int)
    place[there] = np.arange(len(there))
    return place[look], [looks[entry] for entry in there.tolist()]


def legend(kinds: Collection[str]) -> list[Style]:
    """The styles of these kinds that have a name, in the palette's order."""
    return [style for kind, style in STYLES.items() if kind in kinds and style.name]
