"""What each rank holds over time for its backwards, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from ...timeline import Timeline
from ..backends.drawing import draw_rows
from ..backends.picture import INCHES, Picture, heading
from ..figures import in_one_unit, number
from ..palette import INK, STYLES
from ..scene.chart import BAR
from .timeline_plots import require_timeline

if TYPE_CHECKING:
    from ...runtime import Run

_ROW = 0.4  # inches, of one rank
_MARGIN = 0.07  # of the time, at the right of what ranks hold, for a number
_EDGE = "#2F7FB8"  # of a filled curve

Curve = tuple[np.ndarray, np.ndarray]  # times, and what is held from each on


def plot_memory(*sources: Timeline | Run, title: str | None = None, width: float = INCHES) -> Picture:
    """Draw what each rank holds over time for its backwards.

    Every rank's row has the same scale, in all sources; the number at its right is its highest. A run's bytes are those
    after each action: within one they may be more, see `Run.peak_activation_bytes`.

    Parameters
    ----------
    *sources : Timeline or Run
        Of a timeline its activations are drawn, of a run its measured bytes. Several stand one above the other.
    title : str, optional
        Of the first one.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For no source, for counts and bytes, which one scale can't show, and for abstract units beside others.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import one_f_one_b
    >>> [text.get_text() for text in plot_memory(simulate(one_f_one_b(4, 8))).panels[0].texts]
    ['4', '3', '2', '1']
    """
    if not sources:
        raise ValueError("plot_memory needs at least one timeline or run")
    alike = iter(in_one_unit("one time axis", *(source for source in sources if isinstance(source, Timeline))))
    held = [_held(next(alike) if isinstance(source, Timeline) else source) for source in sources]
    if len(units := {each.unit for each in held}) > 1:
        raise ValueError(f"one scale can't show {' and '.join(sorted(units))}: take timelines of one unit, or runs")
    every = [curve for each in held for curve in each.curves]
    most = max(float(kept.max()) for _, kept in every) or 1
    last = max(float(times[-1]) for times, _ in every) or 1
    picture = Picture(width, [_ROW * len(each.curves) for each in held])
    for axes, each in zip(picture.panels, held, strict=True):
        _draw(axes, each.curves, most)
        draw_rows(axes, [(rank, f"rank {rank}") for rank in range(len(each.curves))], 0, last * (1 + _MARGIN))
        axes.set_ylim(len(each.curves) - 0.5, -0.5)
        heading(axes, f"{each.title}; at the right, the most on each rank")
    picture.finish(f"time, {held[0].time}" if held[0].time else "time")
    if title:
        heading(picture.panels[0], title)
    return picture


class _Held(NamedTuple):
    """What is drawn of one source: a curve per rank."""

    title: str
    unit: str
    time: str
    curves: list[Curve]


def _held(source: Timeline | Run) -> _Held:
    if isinstance(source, Timeline):
        title, unit = f"{source.name} · activations held, {source.source}", source.unit or "abstract units"
        curves = [_activations(source, rank) for rank in range(source.num_ranks)]
        return _Held(title, f"activations over {unit}", source.unit, curves)
    if not hasattr(source, "activation_bytes"):
        require_timeline(source)
    title = f"{source.schedule.name} · kB that autograd keeps after each action, measured"
    return _Held(title, "kB over ms", "ms", [_kilobytes(rows) for rows in source.activation_bytes])


def _draw(axes: Axes, curves: list[Curve], most: float) -> None:
    """One filled staircase per rank, and at the right its highest; `most` fills a row."""
    across, filled = axes.get_yaxis_transform(), []
    for rank, (times, held) in enumerate(curves):
        base = rank + BAR / 2
        level = base - BAR * held / most
        stair = np.column_stack([np.repeat(times, 2)[1:], np.repeat(level, 2)[:-1]])
        axes.plot(*stair.T, color=_EDGE, lw=1)
        filled.append(np.vstack([(times[0], base), stair, (times[-1], base)]))
        axes.text(1, rank, number(held.max()), transform=across, ha="right", va="bottom", fontsize=8, color=INK)
    axes.add_collection(PolyCollection(filled, facecolors=STYLES["F"].colour, linewidths=0), autolim=False)


def _activations(timeline: Timeline, rank: int) -> Curve:
    """(times, counts) from the timeline's begin to its end; of several changes at one time, the last."""
    times, counts = timeline.activations_over_time(rank)
    if not len(times):
        return np.array([0.0, float(timeline.makespan)]), np.zeros(2)
    times = (times - timeline.begin).astype(float)
    lasting = np.append(np.diff(times) > 0, True)
    return np.append(times[lasting], float(timeline.makespan)), np.append(counts[lasting], counts[-1])


def _kilobytes(rows: tuple[tuple[float, int], ...]) -> Curve:
    times, kept = zip((0.0, 0), *rows, strict=True)
    return np.array(times), np.array(kept) / 1000
