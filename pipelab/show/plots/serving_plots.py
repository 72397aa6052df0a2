"""Experts that serve, as pictures: before and after they moved, and how re-balancing fares over many windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ...amounts import at_least
from ..backends.picture import Picture, heading, legend_below
from ..figures import number
from ..palette import INK, STYLES
from .curve_plots import CURVES

if TYPE_CHECKING:
    from ...serving import Served, Serving

_WIDTH = 8.0  # inches
_BAR = 0.38  # of a rank's place, for each of two
_BEFORE: dict[str, Any] = {"color": STYLES["B"].colour, "hatch": "////"}
_LOOKS = (_BEFORE, {"color": STYLES["F"].colour})


def plot_serving(
    before: Served | Serving, after: Served | Serving | None = None, *, layer: int | None = None, width: float = _WIDTH
) -> Picture:
    """Draw the tokens of each rank and its experts' time, before and after, for one layer.

    The time is the experts' CPU time; where they were paced, their wall time, and the picture says so. What the plan
    predicts of the tokens is a line across the bar.

    Parameters
    ----------
    before, after : Served or Serving
        Windows; of servings the first window of `before`, and the last of `after`, by default of the same.
    layer : int, optional
        By default the one that was balanced the worst before.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For a layer that is not there, or windows of other sizes.

    Examples
    --------
    >>> from pipelab import rebalance, serve
    >>> from pipelab.eplb import contiguous, zipf
    >>> load = zipf(2, 8, seed=0)
    >>> plans = [contiguous(load, replicas=10, gpus=2), rebalance(load, replicas=10, gpus=2)]
    >>> len(plot_serving(serve([load, load], plans, tokens=100, steps=1)).panels)
    2
    """
    first = before.windows[0] if hasattr(before, "windows") else before
    last = before if after is None else after
    last = last.windows[-1] if hasattr(last, "windows") else last
    if first.tokens.shape != last.tokens.shape:
        raise ValueError(
            f"both need the same layers and ranks; before has {first.tokens.shape}, after {last.tokens.shape}"
        )
    layers, ranks = first.tokens.shape
    balance = first.tokens.mean(axis=1) / first.tokens.max(axis=1)
    layer = int(balance.argmin()) if layer is None else at_least(0, layer, "layer")
    if layer >= layers:
        raise ValueError(f"layer is 0 to {layers - 1}; got {layer}")
    picture, paced = Picture(width, [1.5, 1.2]), "paced" in (first.source, last.source)
    upper, lower = picture.panels
    most: list[list[float]] = []
    for name, side, window, look in zip(("before", "after"), (-1, 1), (first, last), _LOOKS, strict=True):
        place, predicted = np.arange(ranks) + side * _BAR / 2, window.plan.gpu_load[layer]
        values = [each[layer] for each in (window.tokens, window.wall if paced else window.compute)]
        most.append([float(each.max()) for each in values])
        style: dict[str, Any] = {"edgecolor": "white", "linewidth": 0.5, "label": f"{name}: {window.plan.policy}"}
        for axes, each in zip(picture.panels, values, strict=True):
            axes.bar(place, each, _BAR, **style, **look)
        upper.hlines(predicted, place - 0.45 * _BAR, place + 0.45 * _BAR, color=INK, linewidth=1.6)
    of = f"layer {layer} · " if layers > 1 else ""
    change = [f"{number(one)} → {number(other)}" for one, other in zip(*most, strict=True)]
    heading(upper, f"{of}tokens of each rank, and what the plan says (line) · the busiest's {change[0]}")
    what = "time of each rank's experts, paced, ms" if paced else "CPU time of each rank's experts, ms"
    step = f"whole step, all layers, {number(first.step)} → {number(last.step)} ms"
    heading(lower, f"{what} · the longest {change[1]} · {step}")
    for axes, highest in zip(picture.panels, zip(*most, strict=True), strict=True):
        axes.set_ylim(0, 1.1 * max(*highest, 1e-9))
    lower.set_xlim(-0.6, ranks - 0.4)
    picture.finish("rank", integer=True)
    legend_below(lower)
    return picture


def plot_rebalancing(servings: Serving | Mapping[str, Serving], *, width: float = _WIDTH) -> Picture:
    """Draw windows one after the other: how balanced the tokens were, what a step took, and whether moving has paid.

    The last panel, where there are several servings, is the time saved against the first until the end of each window,
    planning and moving paid: below 0 it has not paid yet.

    Parameters
    ----------
    servings : Serving, or mapping of str to Serving
        Of the same windows; the first is what the others are held against, such as one that never re-balances. Marks
        are the windows before which experts moved.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For no servings, more than 5, or other numbers of windows.

    Examples
    --------
    >>> from pipelab import serve
    >>> from pipelab.eplb import contiguous, drifting
    >>> loads = drifting(3, 1, 8, seed=0)
    >>> first = contiguous(loads[0], replicas=10, gpus=2)
    >>> servings = {name: serve(loads, first, policy=name, tokens=100, steps=1) for name in ("greedy", "incremental")}
    >>> len(plot_rebalancing(servings).panels)
    3
    """
    named = dict(servings) if isinstance(servings, Mapping) else {servings.policy or "given": servings}
    lengths = {name: len(serving.windows) for name, serving in named.items()}
    if not 1 <= len(named) <= len(CURVES) or len(set(lengths.values())) != 1:
        raise ValueError(f"plot_rebalancing draws 1 to {len(CURVES)} servings of as many windows each; got {lengths}")
    first = next(iter(named.values()))
    picture = Picture(width, [1.1] * (3 if len(named) > 1 else 2))
    for (name, serving), (colour, marker, line) in zip(named.items(), CURVES, strict=False):
        style: dict[str, Any] = {"color": colour, "linestyle": line, "marker": marker, "markersize": 5, "label": name}
        balance = [window.balancedness for window in serving.windows]
        values = [balance, [window.step for window in serving.windows], first.totals - serving.totals]
        for axes, each in zip(picture.panels, values, strict=False):
            axes.plot(each, markevery=[*serving.replanned], **style)
    source = " or ".join(sorted({serving.source for serving in named.values()}))
    headings = [
        "balance: mean / maximum of the ranks' tokens, mean of the layers · marks: experts moved before",
        f"step, ms · {source}",
        f"ms saved since the beginning against «{next(iter(named))}», moving and planning paid",
    ]
    for axes, text in zip(picture.panels, headings, strict=False):
        heading(axes, text)
    picture.panels[0].set_ylim(0, 1.05)
    picture.panels[1].set_ylim(bottom=0)
    picture.finish("window", grid=True, integer=True)
    legend_below(picture.panels[-1], handlelength=2.4)
    return picture
