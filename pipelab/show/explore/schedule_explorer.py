"""Schedules under sliders: the simulated timeline follows them, and a button runs it on real ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ...amounts import at_least, counted
from ...ir import Schedule
from ...simulator import simulate
from ...table import Table
from ...timeline import Timeline
from ..backends.picture import Picture
from ..backends.svg import legend_html
from ..figures import MEANING, figures_table, kilobytes
from ..plots.timeline_plots import caption, compare, plot
from .base import Explorer, html, player, row, slider
from .controls import Builder, Controls
from .experiment import error_html
from .panel import Panel
from .state_at import state_html

if TYPE_CHECKING:
    from ...runtime import Run

_DEFAULT = ("schedule", "against", "ranks", "microbatches", "chunks")
DEFAULT_CONTROLS = (*_DEFAULT, "forward", "backward_input", "backward_weight", "latency")
_REST = 0.4  # seconds without a change, after which there is time for what hovering shows
_PACES = (2, 50)  # ms per unit of cost
_TICKS = 200  # of the time axis, for the cursor
_KEPT = "peak bytes kept"
_MEANING = {**MEANING, _KEPT: "measured: what autograd saved for the backward, besides parameters and batch"}


def explore_schedule(
    schedule: str = "1f1b",
    ranks: int = 4,
    microbatches: int = 8,
    *,
    against: str | None = None,
    schedules: Iterable[str] | Mapping[str, Builder] | None = None,
    controls: Iterable[str] = DEFAULT_CONTROLS,
    limits: Mapping[str, tuple[float, ...]] | None = None,
    unit_ms: int = 10,
    steps: int = 3,
    **costs: float,
) -> ScheduleExplorer:
    """A widget: move a slider, and the simulated timeline follows; press the button, and real ranks run it.

    Point at an action to see what it needed and what it unblocked, or at a gap to read why it is there; play, or move
    the cursor, to see what each rank is doing at any time.

    Parameters
    ----------
    schedule : str
        The name to begin with.
    ranks, microbatches : int
        Where their sliders begin.
    against : str, optional
        The schedule to compare it with, below it.
    schedules : names, or mapping of names to functions (ranks, microbatches) -> Schedule
        What can be chosen; by default all schedules of pipelab.
    controls : iterable of str
        Which to show: "schedule", "against", and sliders.
    limits : mapping of str to tuple
        (smallest, largest) or (smallest, largest, step) of a slider, where the usual ones don't suit.
    unit_ms : int
        Milliseconds that one unit of cost lasts in a paced run.
    steps : int
        Training steps of a run; the one of median length is shown.
    **costs : float
        forward, backward_input, backward_weight, overlapped, latency, chunks: where their sliders begin. Costs are of
        a P-th of the model, where P is the number of ranks.

    Raises
    ------
    ValueError
        For an unknown name, or a value outside its slider's limits.

    Examples
    --------
    >>> explore_schedule("gpipe", ranks=4, microbatches=8)
    explorer: gpipe, 4 ranks, 8 micro-batches
    """
    values = {"ranks": ranks, "microbatches": microbatches, **costs}
    return ScheduleExplorer(Controls(schedule, against, schedules, controls, limits or {}, values), unit_ms, steps)


class ScheduleExplorer(Explorer):
    """What `explore_schedule` returns.

    controls: its sliders and choices;  timeline, compared: the two simulations, None where the sliders' sizes don't
    suit the schedule;  result: the last run on real ranks, a Run, or None
    """

    def __init__(self, controls: Controls, unit_ms: int, steps: int) -> None:
        unit_ms = at_least(0, unit_ms, "unit_ms")
        if not _PACES[0] <= unit_ms <= _PACES[1]:
            raise ValueError(f"unit_ms must be from {_PACES[0]} to {_PACES[1]}, its slider's limits; got {unit_ms}")
        super().__init__("explorer")
        self.controls, self.steps = controls, at_least(1, steps, "steps")
        self.timeline: Timeline | None = None
        self.compared: Timeline | None = None
        self.rest: threading.Timer | None = None
        self.predicted, self.against, self.measured = Panel("predicted"), Panel("against"), Panel("measured")
        self.panels = (self.predicted, self.against, self.measured)
        self.legend, self.state, self.account, self.table = map(html, ("legend", "state", "account", "figures"))
        narrow = widgets.Layout(width="auto", margin="0 0 0 16px")
        self.paced = widgets.Checkbox(
            value=True, description="paced", tooltip="hold every action to its duration", indent=False, layout=narrow
        )
        look = {"style": {"description_width": "92px"}, "layout": widgets.Layout(width="300px")}
        meaning = "how long a duration of 1 lasts in a paced run"
        self.pace = slider("ms per unit", unit_ms, *_PACES, tooltip=meaning, continuous_update=False, **look)
        meaning = "the place in the step that the cursor shows"
        self.play, self.time, self.link = player("Time", _TICKS, 120, readout=False, tooltip=meaning)
        self.time.observe(self._pointed, "value")
        simulated = [row(*controls.shown), self.predicted, *self.more(), self.against, self.legend]
        pointed = [row(self.play, self.time), self.state]
        run = [row(*self.experiment.widgets, self.paced, self.pace), self.experiment.status]
        found = [self.measured, self.account, self.table]
        self.fill([*simulated, *pointed, *run, *found], [*controls.all, self.paced, self.pace])

    def more(self) -> list[widgets.Widget]:
        """What a subclass shows below the prediction."""
        return []

    def __repr__(self) -> str:
        sizes = {"rank": self.controls.value("ranks"), "micro-batch": self.controls.value("microbatches")}
        return ", ".join([f"explorer: {self.controls.choice.value}", *(counted(n, what) for what, n in sizes.items())])

    @property
    def schedule(self) -> Schedule:
        """The schedule that is chosen; ValueError where its sizes don't fit it."""
        return self.controls.schedule(self.controls.choice.value)

    # -- drawing -----------------------------------------------------------------------------------------------------

    def draw(self, change: Any) -> None:
        self.pace.disabled = not self.paced.value
        if change is not None and not self.experiment.running:
            self.experiment.status.value = ""  # an error of other settings
        self.controls.refresh()
        self.timeline = self._simulated(self.predicted, self.controls.choice.value)
        self.compared = self._simulated(self.against, self.controls.compared)
        both = [timeline for timeline in (self.timeline, self.compared) if timeline is not None]
        until = max((float(timeline.makespan) for timeline in both), default=1.0)
        if (run := self.fresh) is not None and run.paced:
            until = max(until, float(run.timeline.makespan) / self.pace.value)
        for panel, timeline in ((self.predicted, self.timeline), (self.against, self.compared)):
            if timeline is not None:
                panel.show(timeline, f"predicted · {caption(timeline)}".replace(" · simulated", ""), until)
        self.legend.value = legend_html(*both)
        self._show_run(until)
        self._pointed()
        if self.rest is not None:
            self.rest.cancel()
        self.rest = threading.Timer(_REST, self.explain)
        self.rest.daemon = True
        self.rest.start()

    def fail(self, markup: str) -> None:
        self.predicted.say(markup)

    def _simulated(self, panel: Panel, name: str | None) -> Timeline | None:
        if name is None:
            panel.say("")
            return None
        try:
            schedule = self.controls.schedule(name)
            return simulate(schedule, self.controls.costs(schedule))
        except Exception as error:
            panel.say(error_html(error))
            return None

    def _show_run(self, until: float) -> None:
        """The last run's timeline and figures, beside those of the sliders; faint if the sliders have moved since."""
        run, fresh = self.result, self.fresh
        columns = {timeline.name: timeline for timeline in (self.timeline, self.compared) if timeline is not None}
        if run is not None:
            change = float(run.timeline.makespan) / (float(run.simulated.makespan) or 1) - 1
            title = f"{caption(run.timeline)} ({100 * change:+.1f} % against its prediction)"
            stale = "" if fresh else f"<i>a run of other settings: {escape(self.ran)}</i>"
            faint = f'<div style="opacity:{1 if fresh else 0.45}">{{}}</div>{stale}'
            end = until * self.pace.value if fresh and run.paced else None
            self.measured.show(run.timeline, title, end, around=faint)
            self.account.value = _account(run) if fresh else ""
        if fresh:
            # The prediction in the run's unit, in place of the one in the sliders'.
            columns = {"predicted": run.simulated, run.timeline.source: run.timeline}
            # What another schedule would take is known of a paced run only.
            other = self.compared if run.paced else None
            if (name := self.controls.compared) and other is not None and other.name != run.timeline.name:
                columns[other.name] = self._at_pace(name)
        self.table.value = _figures(columns, fresh) if columns else ""

    def _at_pace(self, name: str) -> Timeline:
        """A schedule as a paced run of it is predicted, in ms."""
        schedule = self.controls.schedule(name)
        return simulate(schedule, self.controls.costs(schedule, self.pace.value, "ms"))

    def _pointed(self, change: Any = None) -> None:
        """Move the cursor, and say what the ranks are doing there."""
        with self.lock:
            share = self.time.value / _TICKS if self.time.value else None
            for panel in self.panels:
                panel.point(share)
            if share is None or self.timeline is None:
                self.state.value = ""
                return
            time = share * (self.predicted.until or 0)
            self.state.value = state_html(self.timeline, min(time, float(self.timeline.makespan)))

    def explain(self) -> None:
        """Make actions and gaps tell, when pointed at, what they wait for. Called when the sliders rest."""
        for panel in self.panels:
            panel.explain(self.lock)

    # -- running, and where no kernel is -----------------------------------------------------------------------------

    @property
    def settings(self) -> str:
        """What a run depends on."""
        return f"{self.controls.settings}, {f'{self.pace.value} ms per unit' if self.paced.value else 'unpaced'}"

    def job(self) -> Callable[..., Run]:
        from ...runtime import run

        schedule = self.schedule
        pace = self.controls.costs(schedule, self.pace.value, "ms") if self.paced.value else None
        return partial(run, schedule, pace=pace, steps=self.steps)

    def still(self) -> Picture | None:
        if self.timeline is None:
            return None
        if self.compared is not None:
            return compare(self.timeline, self.compared)
        return plot(self.timeline, title=f"{caption(self.timeline)} · run the cell for sliders")


def _account(run: Run) -> str:
    """What a run says besides its timeline: does it compute what one process does, and is its timing to be trusted?"""
    said = [f"{len(run.losses)} training steps on {run.device} over {run.backend}"]
    said.append(f"loss {run.losses[0]:.3f} → {run.losses[-1]:.3f}")
    if run.gradients_equal is not None:
        same = "equal" if run.gradients_equal else "<b>differ from</b>"
        said.append(f"gradients {same} a single process's (largest relative difference {run.max_gradient_error:.1g})")
    said.append(f"most kept by autograd on a rank: {kilobytes(max(run.peak_activation_bytes))}")
    said.append(f"first action {run.start_seconds:.2f} s after the start")
    if not run.valid:
        said.append(
            "<b>not valid as a timing: the cores could not keep the pace; take more ms per unit, or fewer ranks</b>"
        )
    return f'<div style="font-size:12px;line-height:1.5">{" · ".join(said)}</div>'


def _figures(columns: Mapping[str, Timeline], run: Run | None) -> str:
    """The figures of timelines, and what a run kept."""
    rows = [*figures_table(columns)]
    if run is not None:
        kept = " · ".join(kilobytes(each) for each in run.peak_activation_bytes)
        rows.append((_KEPT, "", kept, *[""] * (len(columns) - 2)))
    return Table(rows, ["", *columns], meanings=_MEANING)._repr_html_()
