"""Timelines as pictures: one, or two on one time axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...timeline import Timeline
from ..backends.drawing import charts_picture
from ..backends.picture import INCHES, UNITS, Picture, panel_width
from ..figures import in_one_unit, number, origin, percent
from ..scene.timeline_scene import kinds, timeline_chart, tints_mean

if TYPE_CHECKING:
    from ...runtime import Run


def plot(timeline: Timeline, *, title: str | None = None, width: float = INCHES) -> Picture:
    """Draw a timeline: one row per rank, one box per action with its micro-batch's number.

    An overlapped pair is one framed box, its forward above its backward. Where a rank has several chunks, or the
    pipeline two directions, the later ones are lighter.

    Parameters
    ----------
    timeline : Timeline
        Simulated or measured; of a paced run, the title says so.
    title : str, optional
        Its name, source, makespan and bubble by default.
    width : float
        In inches.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> plot(simulate(gpipe(4, 8))).png()[1:4]
    b'PNG'
    """
    require_timeline(timeline)
    return _draw(width, [(timeline, title or caption(timeline))])


def compare(predicted: Timeline | Run, measured: Timeline | None = None, *, width: float = INCHES) -> Picture:
    """Draw two timelines, one above the other, on one time axis: a prediction and its measurement, or two schedules.

    Parameters
    ----------
    predicted : Timeline or Run
        A run stands for its own prediction, and for its timeline where `measured` is left out.
    measured : Timeline, optional
        The one below; its title says how much longer it takes.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For a simulation in abstract units and a measured timeline in ms: compare with ``run.simulated``, which is in
        ms, or simulate with costs that name their unit. Of two units of time, both become the lower one's.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe, one_f_one_b
    >>> [float(axes.get_xlim()[1]) for axes in compare(simulate(gpipe(4, 8)), simulate(one_f_one_b(4, 8))).panels]
    [33.0, 33.0]
    """
    if not isinstance(predicted, Timeline):
        if not hasattr(predicted, "simulated"):
            require_timeline(predicted)
        run, predicted = predicted, predicted.simulated
        measured = measured or run.timeline
    if measured is None:
        raise ValueError("compare needs two timelines, or one run")
    require_timeline(measured)
    predicted, measured = in_one_unit("one time axis", predicted, measured)
    change = _span(measured) / _span(predicted) - 1
    return _draw(width, [(predicted, caption(predicted)), (measured, f"{caption(measured)} ({100 * change:+.1f} %)")])


def require_timeline(value: object) -> None:
    """Raise ValueError for anything that is not a Timeline."""
    if not isinstance(value, Timeline):
        such = "such as simulate(gpipe(4, 8)), or a run's .timeline"
        raise ValueError(f"what is drawn must be a Timeline, {such}; got a {type(value).__name__}")


def caption(timeline: Timeline) -> str:
    """What it is, how it came about and its two main figures, in one line."""
    makespan, bubble = number(timeline.makespan, timeline.unit), percent(timeline.bubble_fraction)
    return f"{timeline.name} · {origin(timeline)} · makespan {makespan} · bubble {bubble}"


def _draw(width: float, titled: list[tuple[Timeline, str]]) -> Picture:
    timelines = [timeline for timeline, _ in titled]
    until = max(map(_span, timelines))
    scale = panel_width(width) * UNITS / until
    charts = [timeline_chart(each, until, scale, 30 if each.num_ranks <= 8 else 20) for each in timelines]
    panels = [(chart, title, tints_mean(each)) for chart, (each, title) in zip(charts, titled, strict=True)]
    return charts_picture(width, panels, timelines[-1].unit, kinds(*timelines))


def _span(timeline: Timeline) -> float:
    """The makespan, as a length that can be drawn."""
    return float(timeline.makespan) or 1.0
