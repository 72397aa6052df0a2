"""Plan: which GPU holds which copies of experts, and what each has to do, as a matplotlib picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from ...eplb import Plan
from ..backends.picture import Picture, legend_below
from ..figures import number
from ..palette import INK, LABEL, STYLES

WIDTH = 9.6  # inches
_BARS = 2.6  # inches: the panel of one layer
_ROW, _LEAST, _MOST = 0.11, 0.35, 2.4  # inches: a layer's row in the panel of all layers; that panel
_BAR = 0.86  # of a GPU's place that its bar fills
_LABEL_POINTS = 8  # where there is room; else
_SMALL_POINTS = 6
_DIGIT = 0.6  # a digit's width, of its height
_SINGLE, _COPY = STYLES["F"].colour, STYLES["I"].colour
_LOADS = LinearSegmentedColormap.from_list("loads", [STYLES["F"].colour, "#F2F2F2", STYLES["B"].colour])


def plot_plan(plan: Plan, layer: int | None = None, *, before: Plan | None = None, width: float = WIDTH) -> Picture:
    """Draw a plan: one bar per GPU, stacked of the copies that it holds; below, every layer's loads on every GPU.

    layer    the one whose bars are drawn; default: that which is balanced the worst
    before   another plan for the same loads: its GPUs' loads are outlined
    width    in inches

    Copies of an expert that has several are hatched. ValueError for a layer that is not there, or a plan without any.

    >>> from pipelab.eplb import lognormal, rebalance
    >>> picture = plot_plan(rebalance(lognormal(4, 64, seed=0), replicas=72, gpus=8))
    """
    layers = len(plan.load)
    if not layers:
        raise ValueError("the plan has no layers: there is nothing to draw")
    if layer is None:
        layer = int(plan.balancedness.argmin())
    if not 0 <= layer < layers:
        raise ValueError(f"layer is 0 to {layers - 1}; got {layer}")
    if before is not None:
        before.check_sizes(plan.sizes)
    panels = [_BARS] if layers == 1 else [_BARS, min(max(_ROW * layers, _LEAST), _MOST)]
    picture = Picture(width, panels)
    bars = picture.panels[0]
    _draw_bars(bars, plan, layer, picture.panel_width)
    mean = plan.gpu_load[layer].mean()
    bars.axhline(mean, color=INK, linewidth=1, linestyle="--")
    if before is not None:
        _outline(bars, before.under(plan.load).gpu_load[layer])
    if layers > 1:
        bars.tick_params(labelbottom=False)
        _draw_layers(picture.panels[1], plan, layer)
    _frame(picture, plan)
    of = f"layer {layer} · " if layers > 1 else ""
    figures = f"balancedness {plan.balancedness[layer]:.3f}, at most {plan.attainable[layer]:.3f}"
    _heading(bars, f"{plan.policy} · {of}load of each GPU, mean {number(mean)} (dashed) · {figures}")
    _legend(picture.panels[-1], before)
    return picture


def _draw_bars(axes: Axes, plan: Plan, layer: int, width: float) -> None:
    """Each GPU's slots, one upon the other, the heaviest below; with their experts' numbers where there is room."""
    sizes = plan.sizes
    load = plan.slot_load[layer].reshape(sizes.gpus, -1)
    expert = plan.physical_to_logical[layer].reshape(sizes.gpus, -1)
    falling = np.argsort(-load, axis=1, kind="stable")
    load, expert = (np.take_along_axis(each, falling, axis=1) for each in (load, expert))
    top = load.cumsum(axis=1)
    left = np.broadcast_to((np.arange(sizes.gpus) - _BAR / 2)[:, None], top.shape)
    corners = np.stack([left, top - load, left + _BAR, top], axis=-1).reshape(-1, 4)
    several = (plan.replica_count[layer][expert] > 1).ravel()
    for chosen, colour, hatch in ((~several, _SINGLE, None), (several, _COPY, "////")):
        boxes = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in corners[chosen]]
        axes.add_collection(PolyCollection(boxes, facecolors=colour, edgecolors="white", linewidths=0.5, hatch=hatch))
    highest = float(top[:, -1].max()) or 1.0
    axes.set_ylim(0, 1.08 * highest)
    point = 1 / 72 / _BARS * 1.08 * highest  # of a label's height, in load
    for (x0, y0, x1, y1), text, copied in zip(corners, expert.ravel().astype(str), several, strict=True):
        clear: dict[str, Any] = {"facecolor": _COPY if copied else _SINGLE, "edgecolor": "none", "pad": 1}  # of hatches
        for size in (_LABEL_POINTS, _SMALL_POINTS):
            if y1 - y0 > 1.3 * size * point and len(text) * _DIGIT * size / 72 < _BAR * width / sizes.gpus:
                label = axes.text((x0 + x1) / 2, (y0 + y1) / 2, text, fontsize=size, color=LABEL, bbox=clear)
                label.set(ha="center", va="center")
                break


def _outline(axes: Axes, load: np.ndarray) -> None:
    """Each GPU's load as a line without a bar below it."""
    gpu = np.arange(len(load))
    axes.hlines(load, gpu - 0.5, gpu + 0.5, color=STYLES["B"].colour, linewidth=1.6)
    axes.set_ylim(0, max(axes.get_ylim()[1], 1.08 * float(load.max())))


def _draw_layers(axes: Axes, plan: Plan, layer: int) -> None:
    """One row per layer: each GPU's load over the layer's mean. The layer drawn above is pointed at."""
    mean = plan.gpu_load.mean(axis=1, keepdims=True)
    ratio = np.divide(plan.gpu_load, mean, out=np.ones_like(plan.gpu_load), where=mean > 0)
    most = max(float(np.abs(ratio - 1).max()), 1e-9)
    axes.imshow(ratio, cmap=_LOADS, vmin=1 - most, vmax=1 + most, aspect="auto", interpolation="nearest")
    axes.set_yticks(sorted({0, layer, len(ratio) - 1}))
    _heading(
        axes,
        f"all layers · load / mean, {ratio.min():.2f} (blue) to {ratio.max():.2f} (orange) · "
        f"mean balancedness {plan.balancedness.mean():.3f}, at most {plan.attainable.mean():.3f}",
    )


def _frame(picture: Picture, plan: Plan) -> None:
    sizes = plan.sizes
    for axes in picture.panels:
        axes.set_facecolor("none")
        axes.tick_params(colors=INK, labelsize=8, length=3)
        for side, spine in axes.spines.items():
            spine.set_visible(side == "bottom")
            spine.set_color(INK)
        for node in range(1, sizes.nodes):
            axes.axvline(node * sizes.gpus / sizes.nodes - 0.5, color=INK, linewidth=1, linestyle=":")
    last = picture.panels[-1]
    last.set_xlim(-0.5, sizes.gpus - 0.5)
    last.xaxis.set_major_locator(MaxNLocator(16, integer=True))
    nodes = f", {sizes.nodes} nodes (dotted)" if sizes.nodes > 1 else ""
    last.set_xlabel(f"GPU{nodes}", color=INK, fontsize=8, loc="right", labelpad=0)


def _heading(axes: Axes, text: str) -> None:
    axes.set_title(text, color=INK, fontsize=9, loc="left", pad=4)


def _legend(axes: Axes, before: Plan | None) -> None:
    patches = [
        Patch(facecolor=_SINGLE, edgecolor="white", label="an expert's only copy"),
        Patch(facecolor=_COPY, edgecolor="white", hatch="////", label="one of several copies"),
    ]
    if before is not None:
        patches.append(Patch(facecolor=STYLES["B"].colour, label=f"before: {before.policy}"))
    legend_below(axes, patches)
