"""Which expert of which layer gets how many tokens, as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FixedLocator

from ...eplb import skew
from ...eplb.sizes import as_load
from ..backends.picture import INCHES, Picture, heading
from ..palette import LABEL, LOADS

_ROW = 0.24  # inches
_MOST = 3.0  # a load of 2 ** 3 means has the strongest colour, and so has one of 2 ** -3
_COLOURS = LinearSegmentedColormap.from_list("loads", LOADS)
_LABEL_POINTS = 7
_CHARACTER = 0.65  # of a label's height: its width


def plot_loads(loads: Mapping[str, Any], *, width: float = INCHES) -> Picture:
    """Draw loads as panels, one above the other: a row per layer, a box per expert, in it its load over the mean.

    Blue is below the mean and orange above it. The heading tells each layer's busiest expert over the mean. Boxes that
    are too narrow have no number.

    Parameters
    ----------
    loads : mapping of str to array
        Each [layers, experts], all with as many experts.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For no loads, a load with a value that is negative or not a number, and different numbers of experts.

    Examples
    --------
    >>> from pipelab.eplb import recorded_loads
    >>> len(plot_loads(recorded_loads("none").domains).panels)
    5
    """
    if not isinstance(loads, Mapping):
        raise ValueError(f"plot_loads draws loads by name, as {{'mine': load}}; got {type(loads).__name__}")
    arrays = {name: as_load(load, name=name) for name, load in loads.items()}
    experts = {load.shape[1] for load in arrays.values()}
    if len(experts) != 1 or not all(len(load) for load in arrays.values()):
        shapes = {name: load.shape for name, load in arrays.items()}
        raise ValueError(f"plot_loads draws one or more [layers, experts], all of as many experts; got {shapes}")
    picture = Picture(width, [_ROW * len(load) for load in arrays.values()])
    picture.finish("expert · a row per layer · in each box: load / mean", integer=True)
    for axes, (name, load) in zip(picture.panels, arrays.items(), strict=True):
        _draw(axes, load, picture.panel_width)
        heading(axes, f"{name} · busiest / mean: {'  '.join(f'{ratio:.1f}' for ratio in skew(load))}")
    return picture


def _draw(axes: Axes, load: np.ndarray, width: float) -> None:
    layers, experts = load.shape
    mean = load.mean(axis=1, keepdims=True)
    ratio = np.divide(load, mean, out=np.ones_like(load, dtype=float), where=mean > 0)
    colour = np.log2(np.maximum(ratio, 2**-_MOST))
    axes.imshow(colour, cmap=_COLOURS, vmin=-_MOST, vmax=_MOST, aspect="auto", interpolation="nearest")
    axes.yaxis.set_major_locator(FixedLocator([*range(layers)]))
    axes.spines["bottom"].set_visible(False)
    axes.set_xticks(np.arange(experts + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(layers + 1) - 0.5, minor=True)
    axes.set_xlim(-0.5, experts - 0.5)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="both", length=0)
    if width / experts < 3 * _CHARACTER * _LABEL_POINTS / 72:
        return
    for (layer, expert), value in np.ndenumerate(ratio):
        text = f"{value:.1f}" if value < 10 else f"{value:.0f}"
        axes.text(expert, layer, text, ha="center", va="center", fontsize=_LABEL_POINTS, color=LABEL)
