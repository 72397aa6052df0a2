"""Serving: what ranks had to do before and after their experts moved, and how re-balancing fares over many windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ..backends.picture import Picture, legend_below, plain
from ..figures import number
from ..palette import INK, STYLES
from .curve_plots import STYLES as CURVES

if TYPE_CHECKING:
    from ...serving import Served, Serving

_BAR = 0.38  # of a rank's place, for each of two
_BEFORE, _AFTER = STYLES["B"].colour, STYLES["F"].colour


def plot_serving(
    before: Served | Serving, after: Served | Serving | None = None, layer: int | None = None, *, width: float = 8.0
) -> Picture:
    """Draw the tokens of each rank and its experts' time, before and after, for one layer.

    before, after   windows, or Servings: of `before` the first window, of `after` (None: of the same) the last
    layer           default: the one that was balanced the worst before

    The time is the experts' CPU time; where they were paced, their wall time, and the picture says so. What the plan
    predicts of the tokens is a line across the bar. ValueError for a layer that is not there, or other sizes.

    >>> plot_serving(serve([load, load], [one_plan, another]))  # doctest: +SKIP
    """
    first = before.windows[0] if hasattr(before, "windows") else before
    last = before if after is None else after
    last = last.windows[-1] if hasattr(last, "windows") else last
    if first.tokens.shape != last.tokens.shape:
        raise ValueError(
            f"both need the same layers and ranks; before has {first.tokens.shape}, after {last.tokens.shape}"
        )
    layers, ranks = first.tokens.shape
    if layer is None:
        layer = int((first.tokens.mean(axis=1) / first.tokens.max(axis=1)).argmin())
    if not 0 <= layer < layers:
        raise ValueError(f"layer is 0 to {layers - 1}; got {layer}")
    picture = Picture(width, [1.5, 1.2])
    upper, lower = picture.panels
    _bars(upper, first.tokens[layer], last.tokens[layer])
    for side, window in ((-1, first), (1, last)):
        place = np.arange(ranks) + side * _BAR / 2
        predicted = window.plan.gpu_load[layer]
        upper.hlines(predicted, place - 0.45 * _BAR, place + 0.45 * _BAR, color=INK, linewidth=1.6)
    upper.tick_params(labelbottom=False)
    paced = "paced" in (first.source, last.source)
    times = [(window.wall if paced else window.compute)[layer] for window in (first, last)]
    _bars(lower, times[0], times[1], x="rank")
    of = f"layer {layer} · " if layers > 1 else ""
    heading = f"{of}tokens of each rank, and what the plan says (line)"
    _heading(upper, f"{heading} · the busiest's {first.tokens[layer].max()} → {last.tokens[layer].max()}")
    what = "time of each rank's experts, paced, ms" if paced else "CPU time of each rank's experts, ms"
    step = f"whole step, all layers, {number(first.step)} → {number(last.step)} ms"
    _heading(lower, f"{what} · the longest {number(times[0].max())} → {number(times[1].max())} · {step}")
    lower.set_xlim(-0.6, ranks - 0.4)
    lower.xaxis.set_major_locator(MaxNLocator(16, integer=True))
    legend_below(
        lower,
        [
            Patch(facecolor=_BEFORE, edgecolor="white", hatch="////", label=f"before: {first.plan.policy}"),
            Patch(facecolor=_AFTER, edgecolor="white", label=f"after: {last.plan.policy}"),
        ],
    )
    return picture


def _bars(axes: Axes, before: np.ndarray, after: np.ndarray, x: str = "") -> None:
    place = np.arange(len(before))
    axes.bar(place - _BAR / 2, before, _BAR, color=_BEFORE, hatch="////", edgecolor="white", linewidth=0.5)
    axes.bar(place + _BAR / 2, after, _BAR, color=_AFTER, edgecolor="white", linewidth=0.5)
    axes.set_ylim(0, 1.1 * max(float(before.max()), float(after.max()), 1e-9))
    plain(axes, x)


def plot_rebalancing(servings: Serving | Mapping[str, Serving], *, width: float = 8.0) -> Picture:
    """Draw windows one after the other: how balanced the tokens were, what a step took, and whether moving has paid.

    servings   by name, of the same windows; the first is what the others are held against, such as one that never
               re-balances. Marks are the windows before which experts moved.

    The last panel, where there are several, is the time saved against the first until the end of each window, planning
    and moving paid: below 0 it has not paid yet. ValueError for none, more than 5, or other numbers of windows.

    >>> plot_rebalancing({"never": never, "incremental": often})  # doctest: +SKIP
    """
    named = dict(servings) if isinstance(servings, Mapping) else {servings.policy or "given": servings}
    lengths = {name: len(serving.windows) for name, serving in named.items()}
    if not 1 <= len(named) <= len(CURVES) or len(set(lengths.values())) != 1:
        raise ValueError(f"plot_rebalancing draws 1 to {len(CURVES)} servings of as many windows each; got {lengths}")
    first = next(iter(named.values()))
    picture = Picture(width, [1.1] * (3 if len(named) > 1 else 2))
    balance, step, *saved = picture.panels
    for (name, serving), (colour, marker, line) in zip(named.items(), CURVES, strict=False):
        moments = [*serving.replanned]
        style: dict[str, Any] = {
            "color": colour,
            "linestyle": line,
            "marker": marker,
            "markersize": 5,
            "markevery": moments,
        }
        windows = np.arange(len(serving.windows))
        balance.plot(windows, [each.balancedness for each in serving.windows], label=name, **style)
        step.plot(windows, [each.step for each in serving.windows], label=name, **style)
        for axes in saved:
            axes.plot(windows, first.totals - serving.totals, label=name, **style)
    source = " or ".join(sorted({serving.source for serving in named.values()}))
    _heading(balance, "balance: mean / maximum of the ranks' tokens, mean of the layers · marks: experts moved before")
    _heading(step, f"step, ms · {source}")
    balance.set_ylim(0, 1.05)
    step.set_ylim(bottom=0)
    for axes in saved:
        _heading(axes, f"ms saved since the beginning against «{next(iter(named))}», moving and planning paid")
    for axes in picture.panels:
        last = axes is picture.panels[-1]
        plain(axes, "window" if last else "")
        axes.tick_params(labelbottom=last)
        axes.grid(axis="y", color=INK, alpha=0.25, linewidth=0.6)
    picture.panels[-1].xaxis.set_major_locator(MaxNLocator(12, integer=True))
    legend_below(picture.panels[-1], handlelength=2.4)
    return picture


def _heading(axes: Axes, text: str) -> None:
    axes.set_title(text, color=INK, fontsize=9, loc="left", pad=4)
