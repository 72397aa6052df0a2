"""Schedule explorer: sliders, the simulated timeline that follows them, and a real run at the press of a button."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ...ir import Schedule, at_least, counted
from ...simulator import simulate
from ...timeline import Timeline
from ..backends.picture import Picture
from ..backends.svg import legend_html
from ..plots.timeline_plots import caption, compare, plot
from .base import Live
from .controls import Builder, Controls
from .experiment import Experiment, error_html
from .panel import Panel
from .run_tables import account_html, figures_html
from .state_at import state_html

if TYPE_CHECKING:
    from ...runtime import Progress, Run

DEFAULT_CONTROLS = (
    "schedule",
    "against",
    "ranks",
    "microbatches",
    "chunks",
    "forward",
    "backward_input",
    "backward_weight",
    "latency",
)
_REST = 0.4  # seconds without a change, after which there is time for what hovering shows
_PACES = (2, 50)  # ms per unit of cost
_TICKS = 200  # of the time axis, for the cursor


def explore_schedule(
    schedule: str = "1f1b",
    ranks: int = 4,
    microbatches: int = 8,
    *,
    against: str | None = None,
    schedules: Iterable[str] | Mapping[str, Builder] | None = None,
    controls: Iterable[str] = DEFAULT_CONTROLS,
    limits: Mapping[str, tuple[float, ...]] | None = None,
    pace_ms: int = 10,
    steps: int = 3,
    **costs: float,
) -> ScheduleExplorer:
    """A widget: move a slider, and the simulated timeline follows; press the button, and real ranks run it.

    Point at an action to see what it needed and what it unblocked, or at a gap to read why it is there; play, or move
    the cursor, to see what each rank is doing at any time.

    schedule    the name to begin with;  against: the one to compare it with, below it
    schedules   what can be chosen: names, or names with functions (ranks, microbatches) -> Schedule of your own;
                None: all that pipelab has
    controls    which to show: "schedule", "against", and sliders
    limits      (smallest, largest) or (smallest, largest, step) of a slider, where the usual ones don't suit
    pace_ms     milliseconds that one unit of cost lasts in a paced run
    steps       training steps of a run; the one of median length is shown
    costs       forward, backward_input, backward_weight, overlapped, latency, chunks: where their sliders begin. Costs
                are of a P-th of the model, where P is the number of ranks

    ValueError for an unknown name, or a value outside its slider's limits.

    >>> explore_schedule("gpipe", ranks=4, microbatches=8)
    explorer: gpipe, 4 ranks, 8 micro-batches
    """
    values = {"ranks": ranks, "microbatches": microbatches, **costs}
    return ScheduleExplorer(Controls(schedule, against, schedules, controls, limits or {}, values), pace_ms, steps)


class ScheduleExplorer(Live):
    """What `explore_schedule` returns.

    controls    its sliders and choices
    timeline    what is simulated, or None where the sliders' sizes don't suit the schedule;  compared: the other one
    run         the last run on real ranks, or None
    experiment  the button and what belongs to it
    """

    def __init__(self, controls: Controls, pace_ms: int, steps: int) -> None:
        if not _PACES[0] <= pace_ms <= _PACES[1]:
            raise ValueError(f"pace_ms must be from {_PACES[0]} to {_PACES[1]}, its slider's limits; got {pace_ms}")
        self.controls, self.steps, self.lock = controls, at_least(1, steps, "steps"), threading.RLock()
        self.timeline: Timeline | None = None
        self.compared: Timeline | None = None
        self.run: Run | None = None
        self.ran = ""  # the settings of that run
        self.rest: threading.Timer | None = None
        self.predicted, self.against, self.measured = Panel("predicted"), Panel("against"), Panel("measured")
        self.panels = (self.predicted, self.against, self.measured)
        self.legend, self.state = widgets.HTML(), widgets.HTML().add_class("pipelab-state")
        self.account = widgets.HTML()
        self.table = widgets.HTML().add_class("pipelab-figures")
        self.experiment = Experiment(self._start, self._done)
        narrow = widgets.Layout(width="auto", margin="0 0 0 16px")
        self.paced = widgets.Checkbox(
            value=True, description="paced", tooltip="hold every action to its duration", indent=False, layout=narrow
        )
        self.pace = widgets.IntSlider(
            value=pace_ms,
            min=_PACES[0],
            max=_PACES[1],
            description="ms per unit",
            tooltip="how long a duration of 1 lasts in a paced run",
            style={"description_width": "92px"},
            layout=widgets.Layout(width="300px"),
            continuous_update=False,
        )
        self.time = widgets.IntSlider(
            max=_TICKS,
            description="Time",
            tooltip="the place in the step that the cursor shows",
            readout=False,
            style={"description_width": "40px"},
            layout=widgets.Layout(width="460px"),
        )
        self.play = widgets.Play(max=_TICKS, interval=120)
        self.link = widgets.jslink((self.play, "value"), (self.time, "value"))
        row = widgets.Layout(display="flex", flex_flow="row wrap", align_items="center")
        super().__init__(
            [
                widgets.Box(controls.shown, layout=row),
                self.predicted,
                self.against,
                widgets.Box([self.legend], layout=row),
                widgets.Box([self.play, self.time], layout=row),
                self.state,
                widgets.Box([*self.experiment.widgets, self.paced, self.pace], layout=row),
                self.experiment.status,
                self.measured,
                self.account,
                self.table,
            ]
        )
        self.add_class("pipelab-explorer")
        self.take_the_place_of_the_last()
        for control in (*controls.all, self.paced, self.pace):
            control.observe(self._changed, "value")
        self.time.observe(self._pointed, "value")
        self._changed()

    def __repr__(self) -> str:
        sizes = {"rank": self.controls.value("ranks"), "micro-batch": self.controls.value("microbatches")}
        return ", ".join([f"explorer: {self.controls.choice.value}", *(counted(n, what) for what, n in sizes.items())])

    @property
    def schedule(self) -> Schedule:
        """The schedule that is chosen; ValueError where its sizes don't fit it."""
        return self.controls.schedule(self.controls.choice.value)

    # -- drawing -----------------------------------------------------------------------------------------------------

    def _changed(self, change: Any = None) -> None:
        """Draw again. An exception in here would reach no cell: the reader sees it in the picture's place."""
        with self.lock:
            self.pace.disabled = not self.paced.value
            if change is not None and not self.experiment.running:
                self.experiment.status.value = ""  # an error of other settings
            self.controls.refresh()
            self.timeline = self._simulated(self.predicted, self.controls.choice.value)
            self.compared = self._simulated(self.against, self.controls.compared)
            both = [timeline for timeline in (self.timeline, self.compared) if timeline is not None]
            until = max((float(timeline.makespan) for timeline in both), default=1.0)
            if fresh := self.run is not None and self.ran == self._settings:
                until = max(until, self._units(self.run))
            for panel, timeline in ((self.predicted, self.timeline), (self.against, self.compared)):
                if timeline is not None:
                    panel.show(timeline, f"predicted · {caption(timeline)}".replace(" · simulated", ""), until)
            self.legend.value = legend_html(*both)
            self._show_run(fresh, until)
            self._pointed()
            self._will_rest()

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

    @property
    def _settings(self) -> str:
        return f"{self.controls.settings}, {f'{self.pace.value} ms per unit' if self.paced.value else 'unpaced'}"

    def _units(self, run: Run | None) -> float:
        """A paced run's makespan in the sliders' units; 0 for one with a time axis of its own."""
        return float(run.timeline.makespan) / self.pace.value if run is not None and run.paced else 0.0

    def _show_run(self, fresh: bool, until: float) -> None:
        """The last run's timeline and figures, beside those of the sliders; faint if the sliders have moved since."""
        run = self.run
        columns = {timeline.name: timeline for timeline in (self.timeline, self.compared) if timeline is not None}
        if run is not None:
            change = float(run.timeline.makespan) / (float(run.simulated.makespan) or 1) - 1
            title = f"{caption(run.timeline)} ({100 * change:+.1f} % against its prediction)"
            stale = "" if fresh else f"<i>a run of other settings: {escape(self.ran)}</i>"
            faint = f'<div style="opacity:{1 if fresh else 0.45}">{{}}</div>{stale}'
            self.measured.show(
                run.timeline, title, until * self.pace.value if fresh and run.paced else None, around=faint
            )
            self.account.value = account_html(run) if fresh else ""
        if fresh and run is not None:
            # The prediction in the run's unit, in place of the one in the sliders'.
            columns = {"predicted": run.simulated, run.timeline.source: run.timeline}
            if (name := self.controls.compared) and self.compared and self.compared.name != run.timeline.name:
                columns[self.compared.name] = self._at_pace(name) if run.paced else self.compared
        self.table.value = figures_html(columns, run if fresh else None)

    def _at_pace(self, name: str) -> Timeline:
        """A schedule as a paced run of it is predicted, in ms."""
        schedule = self.controls.schedule(name)
        return simulate(schedule, replace(self.controls.costs(schedule, self.pace.value), unit="ms"))

    # -- pointing ----------------------------------------------------------------------------------------------------

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

    def _will_rest(self) -> None:
        if self.rest is not None:
            self.rest.cancel()
        self.rest = threading.Timer(_REST, self.explain)
        self.rest.daemon = True
        self.rest.start()

    def explain(self) -> None:
        """Make actions and gaps tell, when pointed at, what they wait for. Called when the sliders rest."""
        with self.lock:
            for panel in self.panels:
                panel.explain()

    # -- running -----------------------------------------------------------------------------------------------------

    def _start(self, progress: Callable[[Progress], None], cancel: threading.Event) -> Run:
        from ...runtime import run

        with self.lock:
            self.starting, schedule = self._settings, self.schedule
            pace = self.controls.costs(schedule, self.pace.value) if self.paced.value else None
        return run(schedule, pace=pace, steps=self.steps, progress=progress, cancel=cancel)

    def _done(self, run: Run) -> None:
        with self.lock:
            self.run, self.ran = run, self.starting
            self._changed()

    # -- where no kernel is ------------------------------------------------------------------------------------------

    def still(self) -> Picture | None:
        """A picture of what is simulated."""
        if self.timeline is None:
            return None
        if self.compared is not None:
            return compare(self.timeline, self.compared)
        return plot(self.timeline, title=f"{caption(self.timeline)} · run the cell for sliders")
