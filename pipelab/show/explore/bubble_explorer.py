"""Bubble: the terms of DualPipe's formula, lit up in the picture.

The ranks in the middle are idle longest, and the formula counts their idle time. Each of their gaps belongs to one of
its terms: it is marked with that term's colour and letter, and stands with it in a table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from html import escape
from typing import Any

import ipywidgets as widgets

from ...schedules import theory
from ...simulator import Costs
from ...timeline import Timeline
from ..backends.picture import Picture
from ..backends.svg import Geometry
from ..figures import number
from ..plots.bubble_plots import Term, bubble_terms, each_gap, middle_rank, plot_bubble, stage_costs, with_middle
from ..plots.timeline_plots import caption
from .controls import Controls
from .schedule_explorer import ScheduleExplorer

_CONTROLS = ("ranks", "microbatches", "overlapped", "forward", "backward_input", "backward_weight")
_LIMITS = {"ranks": (2, 16, 2), "microbatches": (4, 64, 2)}  # DualPipe takes even numbers


def explore_bubble(
    schedule: str = "dualpipe",
    ranks: int = 8,
    microbatches: int = 20,
    *,
    controls: Iterable[str] = _CONTROLS,
    limits: Mapping[str, tuple[float, ...]] | None = None,
    pace_ms: int = 10,
    steps: int = 3,
    **costs: float,
) -> BubbleExplorer:
    """`explore_schedule` for DualPipe or DualPipeV, with the terms of the bubble's formula marked in the picture.

    The arguments are those of `explore_schedule`. overlapped begins at F + I + W, where a pair gains nothing.

    >>> explore_bubble(overlapped=2.2)
    explorer: dualpipe, 8 ranks, 20 micro-batches
    """
    begin = {"forward": 1.0, "backward_input": 1.0, "backward_weight": 1.0, **costs}
    begin.setdefault("overlapped", begin["forward"] + begin["backward_input"] + begin["backward_weight"])
    values = {"ranks": ranks, "microbatches": microbatches, **begin}
    return BubbleExplorer(
        Controls(schedule, None, with_middle(), controls, {**_LIMITS, **(limits or {})}, values), pace_ms, steps
    )


class BubbleExplorer(ScheduleExplorer):
    """What `explore_bubble` returns. `terms` are those of the predicted timeline; none where no formula holds."""

    children: tuple[widgets.Widget, ...]

    def __init__(self, controls: Controls, pace_ms: int, steps: int) -> None:
        self.terms: tuple[Term, ...] = ()
        self.formula = widgets.HTML().add_class("pipelab-bubble")
        super().__init__(controls, pace_ms, steps)
        sliders, predicted, *rest = self.children
        self.children = (sliders, predicted, self.formula, *rest)

    def _changed(self, change: Any = None) -> None:
        with self.lock:
            super()._changed(change)
            self.terms, self.formula.value = (), ""
            if self.timeline is None:
                return
            try:
                costs = self.controls.costs(self.schedule)
                terms = bubble_terms(self.timeline, costs)
                self.formula.value = bubble_html(self.timeline, costs, terms)
            except ValueError as error:  # no closed form at these costs: the picture is right nevertheless
                self.formula.value = f"<i>{escape(str(error))}</i>"
            else:
                self.terms = terms
                self.predicted.mark(bubble_svg(self.timeline, terms, self.predicted.until))

    def still(self) -> Picture | None:
        """A picture of what is simulated, with the marks."""
        if self.timeline is None or not self.terms:
            return super().still()
        title = f"{caption(self.timeline)} · run the cell for sliders"
        return plot_bubble(self.timeline, self.controls.costs(self.schedule), title=title)


def bubble_svg(timeline: Timeline, terms: Iterable[Term], until: float | None = None) -> str:
    """A layer for the picture that `timeline_svg` makes: the terms' gaps in their colours, all other ranks veiled."""
    geometry, middle = Geometry.of(timeline, until), middle_rank(timeline)
    left, top, width, height = geometry.box(middle, 0, float(timeline.makespan))
    first = geometry.box(0, 0, 0)[1]
    veils = "".join(
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" height="{max(0, end - y):.1f}"/>'
        for y, end in ((first, top), (top + height, geometry.bottom))
    )
    marks = ""
    for term, gap in each_gap(terms):
        x, y, wide, high = geometry.box(middle, float(gap.start - timeline.begin), float(gap.end - timeline.begin))
        inside = min(wide, high) >= 12  # else the letter stands above
        ink = 'fill="#fff"' if inside else f'fill="{term.colour}" class="pipelab-halo"'
        base = y + high / 2 + 4 if inside else y - 4
        marks += f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{high:.1f}" fill="{term.colour}"/>'
        marks += f'<text x="{x + wide / 2:.1f}" y="{base:.1f}" {ink}>{term.letter}</text>'
    page = "var(--jp-layout-color0, #fff)"
    return (
        f"{geometry.open('pipelab-terms', 'pointer-events:none')}"
        f"<style>.pipelab-halo{{paint-order:stroke;stroke:{page};stroke-width:3}}</style>"
        f'<g fill="{page}" fill-opacity="0.5">{veils}</g><g text-anchor="middle" font-weight="bold">{marks}</g></svg>'
    )


def bubble_html(timeline: Timeline, costs: Costs, terms: Iterable[Term]) -> str:
    """The terms as a table: what the formula says, what the picture shows, and what the rank waits for.

    ValueError where there is no closed form: F&B shorter than F or B.
    """
    middle, (f, i, w, pair) = middle_rank(timeline), stage_costs(costs)
    microbatches = 1 + max(part.microbatch for action in timeline.actions for part in action.computes)
    closed = theory(
        timeline.name, timeline.num_ranks, microbatches, f, backward_input=i, backward_weight=w, overlapped=pair
    )
    said, shown, published = closed.idle[middle], timeline.idle[middle], closed.published_bubble
    near = partial(math.isclose, abs_tol=1e-9 * float(timeline.makespan))
    rows = [("", f"k = {closed.formulas['k']} = {middle}", "formula", "picture", f"rank {middle} is idle, for")]
    rows += [(_chip(t), t.formula, _figure(t.value), _figure(t.idle), t.meaning) for t in terms]
    together = "all of them together" if near(said, shown) else closed.assumes
    same = "the same here" if near(said, published) else "not the same here, for it takes F = I = W"
    rows.append(("", closed.formulas["bubble"], _figure(said), _figure(shown), together))
    rows.append(("", closed.formulas["published bubble"], _figure(published), "", f"as published: {same}"))
    body = ""
    for chip, *cells in rows:
        faint = bool(chip) and cells[1] == cells[2] == "0"
        body += f'<tr style="opacity:{0.45 if faint else 1}"><td>{chip}</td>'
        for cell, side in zip(cells, ("left", "right", "right", "left"), strict=True):
            body += f'<td style="text-align:{side};padding:0 10px">{escape(cell)}</td>'
    return f'<table style="font-size:13px;line-height:1.6;font-variant-numeric:tabular-nums">{body}</table>'


def _chip(term: Term) -> str:
    style = f"background:{term.colour};color:#fff;font-weight:bold;padding:0 6px;border-radius:2px"
    return f'<span style="{style}">{term.letter}</span>'


def _figure(value: Any) -> str:
    """The number, but for what rounding leaves of a 0."""
    return number(round(value, 9))
