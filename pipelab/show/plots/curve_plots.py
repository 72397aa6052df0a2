"""Curves: how a figure changes with a quantity, for sweeps over micro-batches, ranks or costs."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

from ..backends.picture import Picture, heading, legend_below

#: Colour, marker and line of each curve in turn: told apart without colour, and seen on a white page and a black one.
CURVES = (
    ("#2F7FB8", "o", "-"),
    ("#D55E00", "s", "--"),
    ("#009E73", "^", "-."),
    ("#A569C9", "D", ":"),
    ("#8A93A3", "v", (0, (6, 2, 1, 2, 1, 2))),
)
_MOST_MARKS = 12  # on one curve: more would hide each other


def plot_curves(
    curves: Mapping[str, Mapping[float, float]],
    *,
    x: str,
    y: str,
    points: Collection[str] = (),
    log2: bool = False,
    width: float = 6.4,
    height: float = 2.6,
) -> Picture:
    """Draw one curve per name through its {x: y}. The y axis begins at 0.

    Parameters
    ----------
    curves : mapping of str to mapping of float to float
        From one to five.
    x, y : str
        What the axes show, with their units.
    points : collection of str
        Names of those that are drawn as marks without a line, as measurements are.
    log2 : bool
        As far from 1 to 2 as from 2 to 4: for sweeps that double x each time.
    width, height : float
        In inches.

    Raises
    ------
    ValueError
        For no curves, an empty one, more than there are styles, a name in `points` that no curve has, or an x of 0 or
        less, which log2 can't show.

    Examples
    --------
    >>> from pipelab import theory
    >>> fraction = {m: theory("gpipe", 4, m).bubble_fraction for m in (1, 2, 4, 8)}
    >>> plot_curves({"theory": fraction}, x="micro-batches", y="bubble, of the time").png()[1:4]
    b'PNG'
    """
    if not 1 <= len(curves) <= len(CURVES) or not all(curves.values()):
        sizes = {name: len(curve) for name, curve in curves.items()}
        raise ValueError(f"plot_curves draws 1 to {len(CURVES)} curves, none of them empty; got {sizes}")
    if unknown := [name for name in points if name not in curves]:
        raise ValueError(f"points names {unknown[0]!r}; the curves are {', '.join(curves)}")
    lowest, highest = (limit(limit(curve) for curve in curves.values()) for limit in (min, max))
    if log2 and lowest <= 0:
        raise ValueError(f"log2 needs x above 0; got {lowest}")
    picture = Picture(width, [height])
    (axes,) = picture.panels
    for (name, curve), (colour, marker, line) in zip(curves.items(), CURVES, strict=False):
        places = sorted(curve)
        look: dict[str, Any] = {"linestyle": line, "marker": marker, "markersize": 4}
        if name in points:  # hollow and large, so that what lies behind them is seen
            look |= {"linestyle": "none", "markersize": 8, "markerfacecolor": "none"}
        elif len(places) > _MOST_MARKS:
            look["marker"] = None
        axes.plot(places, [curve[place] for place in places], color=colour, markeredgewidth=1.6, label=name, **look)
    axes.set_ylim(bottom=0)
    picture.finish(x, grid=True)
    if log2:
        axes.set_xscale("log", base=2)
        powers = range(math.ceil(math.log2(lowest)), math.floor(math.log2(highest)) + 1)
        axes.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(ScalarFormatter())
    else:
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 4, 5, 10]))
    heading(axes, y)
    legend_below(axes, handlelength=2.4)
    return picture
