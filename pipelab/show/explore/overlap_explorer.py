"""How much of a pair's communication is hidden, under a slider for its share, and on real ranks at a button."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ...amounts import at_least
from ...ir import ORDERS, SegmentOrder
from ...simulator import Costs
from ...simulator.pair_timing import Order, PairTimes, pair_times
from ...table import Table
from ...timeline import COMM, Timeline
from ..backends.picture import Picture
from ..backends.svg import legend_html
from ..figures import number, origin, percent
from ..plots.timeline_plots import plot
from .base import Explorer, choice, html, row, slider
from .panel import Panel

if TYPE_CHECKING:
    from ...moe import Hiding

_COMPUTE_MS = 60.0  # of F, of I and of W, each
_LAYERS = 4


def explore_overlap(
    share: float = 0.5, *, order: Order = "deepseek", ranks: int = 2, repeats: int = 3
) -> OverlapExplorer:
    """A widget: one forward and one backward of a stage with experts, as an overlapped pair in an order of choice.

    Parameters
    ----------
    share : float
        Of communication in all that they do, from 0.1 to 0.8; their computation is 60 ms for each of F, I and W.
    order : SegmentOrder, str, or sequence of str
        Of the pair's segments, to begin with. An order of your own becomes one of the choices.
    ranks : int
        Over which the stage's experts are spread when the button runs it.
    repeats : int
        Of a run; the median is shown.

    Raises
    ------
    ValueError
        For a share beyond the slider's limits, and for an order that can't be done.

    Examples
    --------
    >>> explore_overlap(0.5)
    hiding: 50.0 % communication, F&B 183.8 of 360 ms
    """
    if not 0.1 <= share <= 0.8:
        raise ValueError(f"share must be from 0.1 to 0.8, its slider's limits; got {share}")
    given = SegmentOrder.of(order)
    given.require_valid()
    if given not in ORDERS.values() and given.name in ("", *ORDERS):
        given = replace(given, name="yours")
    return OverlapExplorer(share, given, at_least(1, ranks, "ranks"), at_least(1, repeats, "repeats"))


class OverlapExplorer(Explorer):
    """What `explore_overlap` returns. predicted: what the simulator says;  result: a Hiding, what a run showed."""

    def __init__(self, share: float, order: SegmentOrder, ranks: int, repeats: int) -> None:
        super().__init__("overlap")
        self.ranks, self.repeats = ranks, repeats
        meaning = "communication's part of all that a forward and a backward do"
        self.share = slider("Communication share", share, 0.1, 0.8, 0.05, tooltip=meaning)
        orders = {each.name: each for each in (*ORDERS.values(), order)}
        self.order = choice("Order", orders.items(), order)
        self.pair, self.blocking, self.overlapped = Panel("pair"), Panel("blocking"), Panel("overlapped")
        self.legend, self.table = html("legend"), html("figures")
        run = [row(*self.experiment.widgets), self.experiment.status]
        found = [self.blocking, self.overlapped, self.table]
        self.fill([self.share, self.order, self.pair, self.legend, *run, *found], [self.share, self.order])

    @property
    def settings(self) -> tuple[float, SegmentOrder]:
        return self.share.value, self.order.value

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

    def draw(self, change: Any) -> None:
        self.predicted = times = pair_times(self.costs, 2 * _LAYERS, order=self.order.value)
        until = max(float(times.serial), self.fresh.blocking * 1.02 if self.fresh else 0.0)
        took = f"{number(times.overlapped)} ms instead of {number(times.serial)} ms"
        title = f"the pair, predicted · order {self.order.value.name} · {took}"
        self.pair.show(times.timeline, title, until)
        self.legend.value = legend_html(times.timeline)
        for panel, how, place in ((self.blocking, "blocking", 0), (self.overlapped, "overlapped", 1)):
            if self.fresh is None:
                panel.say("")
            else:
                timeline: Timeline = self.fresh.timelines[place]
                panel.show(timeline, f"{how} all-to-all · {origin(timeline)} · {number(timeline.makespan)} ms", until)
        self.table.value = _table(self.costs, times, self.fresh)._repr_html_()

    def fail(self, markup: str) -> None:
        self.pair.say(markup)

    def job(self) -> Callable[..., Hiding]:
        from ...moe import hide

        return partial(hide, self.order.value, pace=self.costs, ranks=self.ranks, layers=_LAYERS, repeats=self.repeats)

    def still(self) -> Picture:
        return plot(self.predicted.timeline, title=f"{self!r} · run the cell for the slider")


def _table(costs: Costs, predicted: PairTimes, found: Hiding | None) -> Table:
    communication = sum(span.end - span.start for span in predicted.timeline.spans if span.stream == COMM)
    hidden = 1 - float(predicted.exposed) / float(communication) if communication else 1.0
    rows: list[tuple[str, Any, Any]] = [
        ("F alone, blocking", costs.duration("F", 0), found and found.forward),
        ("B alone, blocking", costs.duration("B", 0), found and found.backward),
        ("F and B, blocking", predicted.serial, found and found.blocking),
        ("F&B, overlapped", predicted.overlapped, found and found.overlapped),
        ("exposed communication in it", predicted.exposed, found and found.exposed),
        ("hidden share", percent(hidden), found and percent(found.hidden_share)),
    ]
    if found is not None:
        same = "bit by bit equal" if found.gradients_equal else "DIFFERENT"
        rows.append(("gradients, blocking and overlapped", None, same))
    sides = {"predicted": "right", "measured": "right"}
    return Table(rows, ["", *sides], formats={name: "{:.4g} ms" for name, *_ in rows[:5]}, align=sides)
