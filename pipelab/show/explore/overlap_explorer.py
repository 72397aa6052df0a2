"""Overlap explorer: how much of a pair's communication is hidden, under a slider, and on real ranks at a button."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets

from ...simulator import Costs
from ...simulator.pair_timing import PairTimes, pair_times
from ...timeline import Timeline
from ..backends.picture import Picture
from ..backends.svg import legend_html
from ..figures import number, percent
from ..plots.timeline_plots import plot
from .base import Live
from .controls import WIDE
from .experiment import Experiment
from .panel import Panel

if TYPE_CHECKING:
    from ...moe import Hiding
    from ...ranks.errors import RankState
    from ...runtime import Progress

_COMPUTE_MS = 60.0  # of F, of I and of W, each
_LAYERS = 4


def explore_overlap(share: float = 0.5, *, ranks: int = 2, repeats: int = 3) -> OverlapExplorer:
    """A widget: one forward and one backward of a stage with experts, done as an overlapped pair.

    share     of communication in all that they do; their computation is 60 ms for each of F, I and W
    ranks     over which the stage's experts are spread, when the button runs it;  repeats: of which the median is shown

    ValueError for a share beyond the slider's limits, 0.1 and 0.8.

    >>> explore_overlap(0.5)
    hiding: 50.0 % communication, F&B 183.8 of 360 ms
    """
    if not 0.1 <= share <= 0.8:
        raise ValueError(f"share must be from 0.1 to 0.8, its slider's limits; got {share}")
    return OverlapExplorer(share, ranks, repeats)


class OverlapExplorer(Live):
    """What `explore_overlap` returns. `predicted` is what the simulator says, `found` what the last run showed."""

    def __init__(self, share: float, ranks: int, repeats: int) -> None:
        self.ranks, self.repeats, self.lock = ranks, repeats, threading.RLock()
        self.found: Hiding | None = None
        self.ran: float | None = None  # the share of that run
        limits = {"min": 0.1, "max": 0.8, "step": 0.05}
        meaning = "communication's part of all that a forward and a backward do"
        self.share = widgets.FloatSlider(share, description="Communication share", tooltip=meaning, **limits, **WIDE)
        self.pair, self.blocking, self.overlapped = Panel("pair"), Panel("blocking"), Panel("overlapped")
        self.legend, self.table = widgets.HTML(), widgets.HTML().add_class("pipelab-figures")
        self.experiment = Experiment(self._start, self._done)
        run = widgets.Box(self.experiment.widgets)
        measured = [self.blocking, self.overlapped]
        super().__init__([self.share, self.pair, self.legend, run, self.experiment.status, *measured, self.table])
        self.add_class("pipelab-overlap")
        self.take_the_place_of_the_last()
        self.share.observe(self._changed, "value")
        self._changed()

    @property
    def costs(self) -> Costs:
        """Of the whole stage, in ms."""
        part = self.share.value
        exchange = 1.5 * _COMPUTE_MS * part / (1 - part)  # of F, and of I: half of all communication each
        parts = {"forward_comm": exchange, "backward_input_comm": exchange}
        return Costs(_COMPUTE_MS, _COMPUTE_MS, _COMPUTE_MS, **parts, unit="ms")

    def __repr__(self) -> str:
        times = f"F&B {number(self.predicted.overlapped)} of {number(self.predicted.serial)} ms"
        return f"hiding: {percent(self.share.value)} communication, {times}"

    def _changed(self, change: Any = None) -> None:
        with self.lock:
            self.predicted: PairTimes = pair_times(self.costs, 2 * _LAYERS)
            fresh = self.found if self.ran == self.share.value else None
            until = max(float(self.predicted.serial), fresh.blocking * 1.02 if fresh else 0.0)
            title = f"the pair, predicted · {number(self.predicted.overlapped)} ms instead of {self._serial} ms"
            self.pair.show(self.predicted.timeline, title, until)
            self.legend.value = legend_html(self.predicted.timeline)
            for panel, place in ((self.blocking, 0), (self.overlapped, 1)):
                if fresh is None:
                    panel.say("")
                else:
                    panel.show(fresh.timelines[place], self._title(fresh.timelines[place], place), until)
            self.table.value = _table(self.costs, self.predicted, fresh)

    @property
    def _serial(self) -> str:
        return number(self.predicted.serial)

    @staticmethod
    def _title(timeline: Timeline, place: int) -> str:
        way = ("blocking all-to-all", "overlapped all-to-all")[place]
        note = f", {timeline.note}" if timeline.note else ""
        return f"{way} · {timeline.source}{note} · {number(timeline.makespan)} ms"

    def _start(self, progress: Callable[[Progress], None], cancel: threading.Event) -> Any:
        from ...moe import hide
        from ...runtime import Progress

        def report(states: list[RankState]) -> None:
            progress(Progress(0, 0, tuple(state.at or "starting" for state in states)))

        self.starting = self.share.value
        given: dict[str, Any] = {"ranks": self.ranks, "layers": _LAYERS, "repeats": self.repeats}
        return hide(self.costs, **given, progress=report, cancel=cancel)

    def _done(self, found: Any) -> None:
        with self.lock:
            self.found, self.ran = found, self.starting
            self._changed()

    def still(self) -> Picture:
        """A picture of the pair as it is predicted."""
        return plot(self.predicted.timeline, title=f"{self!r} · run the cell for the slider")


def _table(costs: Costs, predicted: PairTimes, found: Hiding | None) -> str:
    communication = sum(span.end - span.start for span in predicted.timeline.spans if span.stream == "comm")
    rows = [
        ("F alone, blocking", costs.duration("F", 0), found and found.forward),
        ("B alone, blocking", costs.duration("B", 0), found and found.backward),
        ("F and B, blocking", predicted.serial, found and found.blocking),
        ("F&B, overlapped", predicted.overlapped, found and found.overlapped),
        ("exposed communication in it", predicted.exposed, found and found.exposed),
    ]
    cell = '<td style="text-align:right;padding:0 24px 0 0">'
    body = "".join(
        f'<tr><td style="padding:0 24px 0 0">{name}</td>{cell}{number(said)} ms</td>'
        f"{cell}{'' if seen is None else number(seen) + ' ms'}</td></tr>"
        for name, said, seen in rows
    )
    hidden = 1 - float(predicted.exposed) / float(communication) if communication else 1.0
    shares = cell + percent(hidden) + "</td>" + cell + ("" if found is None else percent(found.hidden_share)) + "</td>"
    body += f'<tr><td style="padding:0 24px 0 0">hidden share</td>{shares}</tr>'
    if found is not None:
        same = "bit by bit equal" if found.gradients_equal else "<b>DIFFERENT</b>"
        body += f"<tr><td>gradients, blocking and overlapped</td><td></td><td>{same}</td></tr>"
    head = "".join(
        f'<th style="text-align:right;padding:0 24px 0 0">{name}</th>' for name in ("", "predicted", "measured")
    )
    return f'<table style="font-size:13px;line-height:1.6;border-spacing:0"><tr>{head}</tr>{body}</table>'
