"""Plots: timelines and their memory as matplotlib pictures."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Affine2D

from ...timeline import Timeline
from ..backends.picture import Picture, legend_below, plain
from ..figures import number, percent
from ..palette import INK, LABEL, OVERLAP, STYLES, TRACK
from ..scene.timeline_scene import Boxes, boxes, kinds, tints_mean

if TYPE_CHECKING:
    from ...runtime import Run

WIDTH = 9.6  # inches
_BAR = 0.86  # of a rank's row that its actions fill
_LABEL_POINTS = 7
_ROW_OF_MEMORY = 0.4  # inches, of one rank
_MARGIN = 0.07  # of the time, at the right of what ranks hold, for a number
_EDGE = "#2F7FB8"  # of a filled curve


def plot(timeline: Timeline, *, title: str | None = None, width: float = WIDTH) -> Picture:
    """Draw a timeline: one row per rank, one box per action with its micro-batch's number.

    An overlapped pair is one framed box, its forward above its backward; of several chunks per rank, or two
    directions, the later ones are lighter. width is in inches. A paced timeline says so in its title.

    >>> from pipelab import gpipe, simulate
    >>> plot(simulate(gpipe(4, 8))).savefig("gpipe.png")  # doctest: +SKIP
    """
    _require_timeline(timeline)
    picture = Picture(width, [_height(timeline)])
    (axes,) = picture.panels
    _draw(axes, timeline, picture.panel_width, _span(timeline))
    _heading(axes, title or caption(timeline), tints_mean(timeline))
    _legend(axes, timeline)
    return picture


def compare(predicted: Timeline | Run, measured: Timeline | None = None, *, width: float = WIDTH) -> Picture:
    """Draw two timelines, one above the other, on one time axis: a prediction and its measurement, or two schedules.

    ``compare(run)`` does it for a run and its own prediction. ValueError for two units of time, as of a simulation in
    abstract units and a measured timeline in ms: compare with ``run.simulated``, which is in ms.

    >>> from pipelab import gpipe, one_f_one_b, simulate
    >>> picture = compare(simulate(gpipe(4, 8)), simulate(one_f_one_b(4, 8)))
    """
    if not isinstance(predicted, Timeline):
        if not hasattr(predicted, "simulated"):
            _require_timeline(predicted)
        run, predicted = predicted, predicted.simulated
        measured = measured or run.timeline
    if measured is None:
        raise ValueError("compare needs two timelines, or one run")
    _require_timeline(measured)
    if predicted.unit != measured.unit:
        units = [timeline.unit or "abstract units" for timeline in (predicted, measured)]
        raise ValueError(f"one time axis can't show {units[0]} and {units[1]}; of a run, compare its .simulated (ms)")
    picture = Picture(width, [_height(predicted), _height(measured)])
    until = max(_span(predicted), _span(measured))
    change = _span(measured) / _span(predicted) - 1
    titles = (caption(predicted), f"{caption(measured)} ({100 * change:+.1f} %)")
    for axes, timeline, title in zip(picture.panels, (predicted, measured), titles, strict=True):
        _draw(axes, timeline, picture.panel_width, until)
        _heading(axes, title, tints_mean(timeline))
    picture.panels[0].set_xlabel("")
    picture.panels[0].tick_params(labelbottom=False)
    _legend(axes, predicted, measured)
    return picture


def _require_timeline(value: object) -> None:
    if not isinstance(value, Timeline):
        such = "such as simulate(gpipe(4, 8)), or a run's .timeline"
        raise ValueError(f"what is drawn must be a Timeline, {such}; got a {type(value).__name__}")


def caption(timeline: Timeline) -> str:
    """What it is, how it came about and its two main figures, in one line."""
    unit = f" {timeline.unit}" if timeline.unit else ""
    how = f"{timeline.source}, {timeline.note}" if timeline.note else timeline.source
    bubble = percent(timeline.bubble_fraction)
    return f"{timeline.name} · {how} · makespan {number(timeline.makespan)}{unit} · bubble {bubble}"


def plot_memory(*sources: Timeline | Run, title: str | None = None, width: float = WIDTH) -> Picture:
    """Draw what each rank holds over time for its backwards: activations of a timeline, measured bytes of a run.

    Several sources stand one above the other. Every rank's row has the same scale, in all of them; the number is its
    highest. A run's bytes are those after each action: within one they may be more, see Run.peak_activation_bytes.
    title is the first one's. ValueError for no source, or for counts and bytes on one scale.
    """
    if not sources:
        raise ValueError("plot_memory needs at least one timeline or run")
    held = [_held(source) for source in sources]
    if len(units := {each.unit for each in held}) > 1:
        raise ValueError(f"one scale can't show {' and '.join(sorted(units))}: take timelines of one unit, or runs")
    every = [curve for each in held for curve in each.curves]
    most = max(float(kept.max()) for _, kept in every) or 1
    last = max(float(times[-1]) for times, _ in every) or 1
    picture = Picture(width, [_ROW_OF_MEMORY * len(each.curves) for each in held])
    for axes, each in zip(picture.panels, held, strict=True):
        _draw_memory(axes, each.curves, most)
        _frame(axes, len(each.curves), last * (1 + _MARGIN), each.time)
        _heading(axes, f"{each.title}; at the right, the most on each rank")
        if axes is not picture.panels[-1]:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
    if title:
        _heading(picture.panels[0], title)
    return picture


class _Held(NamedTuple):
    """What plot_memory draws of one source."""

    title: str
    unit: str
    time: str
    curves: list[tuple[np.ndarray, np.ndarray]]  # per rank: times, and what is held from each on


def _held(source: Timeline | Run) -> _Held:
    if isinstance(source, Timeline):
        what, unit = f"activations held, {source.source}", "activations"
        curves = [_activations(source, rank) for rank in range(source.num_ranks)]
        return _Held(f"{source.name} · {what}", f"{unit} over {source.unit or 'abstract units'}", source.unit, curves)
    if not hasattr(source, "activation_bytes"):
        _require_timeline(source)
    title = f"{source.schedule.name} · kB that autograd keeps after each action, measured"
    return _Held(title, "kB over ms", "ms", [_bytes(rows) for rows in source.activation_bytes])


def _draw_memory(axes: Axes, curves: list[tuple[np.ndarray, np.ndarray]], most: float) -> None:
    """One filled staircase per rank, and at the right its highest; `most` fills a row."""
    across = axes.get_yaxis_transform()
    filled = []
    for rank, (times, held) in enumerate(curves):
        base = rank + 0.5 * _BAR
        level = base - _BAR * held / most
        stair = np.column_stack([np.repeat(times, 2)[1:], np.repeat(level, 2)[:-1]])
        axes.plot(*stair.T, color=_EDGE, lw=1)
        filled.append(np.vstack([(times[0], base), stair, (times[-1], base)]))
        axes.text(1, rank, number(held.max()), transform=across, ha="right", va="bottom", fontsize=8, color=INK)
    axes.add_collection(PolyCollection(filled, facecolors=STYLES["F"].colour, linewidths=0), autolim=False)


def _activations(timeline: Timeline, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """(times, counts) from the timeline's begin to its end; of several changes at one time, the last."""
    times, counts = timeline.activations_over_time(rank)
    if not len(times):
        return np.array([0.0, float(timeline.makespan)]), np.zeros(2)
    times = (times - timeline.begin).astype(float)
    lasting = np.append(np.diff(times) > 0, True)
    return np.append(times[lasting], float(timeline.makespan)), np.append(counts[lasting], counts[-1])


def _bytes(rows: tuple[tuple[float, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    times, kept = zip((0.0, 0), *rows, strict=True)
    return np.array(times), np.array(kept) / 1000


def _span(timeline: Timeline) -> float:
    """The makespan, as a length that can be drawn."""
    return float(timeline.makespan) or 1.0


def _draw(axes: Axes, timeline: Timeline, width: float, until: float) -> Boxes:
    """A timeline's boxes on axes of that width in inches; `until` is where the time axis ends.

    A handful of collections, however many actions: a patch and a text for each would take ten times as long.
    """
    drawn = boxes(timeline)
    top = drawn.rank - 0.5 * _BAR + drawn.top * _BAR
    bottom = drawn.rank - 0.5 * _BAR + drawn.bottom * _BAR
    corners = [(drawn.left, top), (drawn.right, top), (drawn.right, bottom), (drawn.left, bottom)]
    vertices = np.array(corners).transpose(2, 0, 1)
    room = np.array([0.02 + 0.053 * len(label) for label in drawn.labels])
    narrow = ~drawn.labelled((drawn.right - drawn.left) * width / until >= room)
    bare = narrow & np.array([STYLES[kind].hatched for kind, _ in drawn.styles], dtype=bool)[drawn.style]
    faces = np.array(drawn.colours, dtype=object)[drawn.style].tolist()
    axes.add_collection(PolyCollection(list(vertices), facecolors=faces, edgecolors="w", linewidths=0.4), autolim=False)
    # One stroke per box, from its lower left to its upper right: matplotlib's hatches would take as long as all else.
    strokes = vertices[bare][:, [3, 1]]
    axes.add_collection(LineCollection(strokes.tolist(), colors="#FFFFFFB0", linewidths=1.2), autolim=False)
    _labels(axes, drawn, np.flatnonzero(~narrow), (top + bottom) / 2)
    if drawn.frames:
        upper = np.array(drawn.frames)
        frames = vertices[upper]
        frames[:, 2:, 1] = bottom[upper + 1][:, None]
        outlines = PolyCollection(list(frames), facecolors="none", edgecolors=OVERLAP, linewidths=0.9)
        axes.add_collection(outlines, autolim=False)
    _frame(axes, timeline.num_ranks, until, timeline.unit)
    return drawn


def _labels(axes: Axes, drawn: Boxes, chosen: np.ndarray, middle: np.ndarray) -> None:
    """Micro-batches' numbers, as shapes in one collection."""
    chosen = np.array([i for i in chosen if drawn.labels[i]], dtype=int)
    if not len(chosen):
        return
    shapes = PathCollection(
        [_shape(drawn.labels[i]) for i in chosen],
        facecolors=LABEL,
        linewidths=0,
        offsets=np.column_stack([(drawn.left + drawn.right)[chosen] / 2, middle[chosen]]),
        offset_transform=axes.transData,
    )
    shapes.set_transform(Affine2D().scale(1 / 72) + axes.get_figure(root=True).dpi_scale_trans)  # type: ignore[union-attr]
    axes.add_collection(shapes, autolim=False)


@cache
def _shape(text: str) -> Path:
    """The outline of a label, in points, centred."""
    path = TextPath((0, 0), text, size=_LABEL_POINTS, prop=FontProperties(family="DejaVu Sans"))
    box = path.get_extents()
    return Path(path.vertices - [(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2], path.codes)


def _height(timeline: Timeline) -> float:
    """Of its rows, in inches: many ranks get thinner ones."""
    return timeline.num_ranks * (0.3 if timeline.num_ranks <= 8 else 0.2)


def _frame(axes: Axes, ranks: int, until: float, unit: str) -> None:
    """Rows with their ranks, the time below, and no box around."""
    tracks = [[(0, rank), (until, rank)] for rank in range(ranks)]
    axes.add_collection(LineCollection(tracks, colors=TRACK, linewidths=1, zorder=0), autolim=False)
    axes.set_xlim(0, until)
    axes.set_ylim(ranks - 0.5, -0.5)
    every = max(1, -(-ranks // 32))
    axes.set_yticks(range(0, ranks, every), [f"rank {rank}" for rank in range(0, ranks, every)])
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    plain(axes, f"time, {unit}" if unit else "time")
    axes.tick_params(axis="y", length=0)


def _heading(axes: Axes, text: str, note: str = "") -> None:
    axes.set_title(text, color=INK, fontsize=9, loc="left", pad=4)
    axes.set_title(note, color=INK, fontsize=8, loc="right", pad=4)


def _legend(axes: Axes, *timelines: Timeline) -> None:
    styles = [STYLES[kind] for kind in kinds(*timelines)]
    legend_below(axes, [Patch(facecolor=style.colour, edgecolor="w", label=style.name) for style in styles])
