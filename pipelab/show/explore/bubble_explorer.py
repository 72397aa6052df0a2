"""The terms of DualPipe's bubble, lit up in its picture under sliders.

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
from ...table import Table
from ...timeline import Timeline
from ..backends.picture import Picture
from ..backends.svg import Geometry
from ..figures import number
from ..plots.bubble_plots import (
    Term,
    bubble_terms,
    costs_of,
    each_gap,
    middle_rank,
    plot_bubble,
    stage_costs,
    with_middle,
)
from ..plots.timeline_plots import caption
from .base import html
from .controls import Controls, with_costs
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
    unit_ms: int = 10,
    steps: int = 3,
    **costs: float,
) -> BubbleExplorer:
    """`explore_schedule` for DualPipe or DualPipeV, with the terms of the bubble's formula marked in the picture.

    Parameters
    ----------
    schedule, ranks, microbatches, controls, limits, unit_ms, steps : as of :func:`explore_schedule`
        The ranks and micro-batches are even numbers.
    **costs : float
        Where their sliders begin; overlapped by default at F + I + W, where an overlapped pair gains nothing.

    Examples
    --------
    >>> explore_bubble(overlapped=2.2)
    explorer: dualpipe, 8 ranks, 20 micro-batches
    """
    values = {"ranks": ranks, "microbatches": microbatches, **with_costs(costs)}
    chosen = Controls(schedule, None, with_middle(), controls, {**_LIMITS, **(limits or {})}, values)
    return BubbleExplorer(chosen, unit_ms, steps)


class BubbleExplorer(ScheduleExplorer):
    """What `explore_bubble` returns. terms: those of the predicted timeline, none where no formula holds."""

    terms: tuple[Term, ...] = ()

    def more(self) -> list[widgets.Widget]:
        self.formula = html("bubble")
        return [self.formula]

    def draw(self, change: Any) -> None:
        super().draw(change)
        self.terms, self.formula.value = (), ""
        if self.timeline is None:
            return
        try:
            costs = self.controls.costs(self.schedule)
            terms = bubble_terms(self.timeline, costs)
            self.formula.value = bubble_table(self.timeline, costs, terms)._repr_html_()
        except ValueError as error:  # no closed form at these costs: the picture is right nevertheless
            self.formula.value = f"<i>{escape(str(error))}</i>"
        else:
            self.terms = terms
            self.predicted.mark(bubble_svg(self.timeline, terms, self.predicted.until))

    def still(self) -> Picture | None:
        if self.timeline is None or not self.terms:
            return super().still()
        title = f"{caption(self.timeline)} · run the cell for sliders"
        return plot_bubble(self.timeline, self.controls.costs(self.schedule), title=title)


def bubble_svg(timeline: Timeline, terms: Iterable[Term], until: float | None = None) -> str:
    """A layer for the picture that `timeline_svg` makes: the terms' gaps in their colours, others veiled."""
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


def bubble_table(timeline: Timeline, costs: Costs, terms: Iterable[Term]) -> Table:
    """The terms: what the formula says, what the picture shows, and what the rank waits for.

    ValueError where there is no closed form: F&B shorter than F or B.
    """
    middle, (f, i, w, pair) = middle_rank(timeline), stage_costs(costs_of(timeline, costs))
    microbatches = 1 + max(part.microbatch for action in timeline.actions for part in action.computes)
    closed = theory(
        timeline.name, timeline.num_ranks, microbatches, forward=f, backward_input=i, backward_weight=w, overlapped=pair
    )
    said, shown, published = closed.idle[middle], timeline.idle[middle], closed.published_bubble
    near = partial(math.isclose, abs_tol=1e-9 * float(timeline.makespan))
    together = "all of them together" if near(said, shown) else closed.assumes
    same = "the same here" if near(said, published) else "not the same here, for it takes F = I = W"
    rows: list[tuple] = [(_Chip(each), each.formula, each.value, each.idle, each.meaning) for each in terms]
    rows.append(("", closed.formulas["bubble"], said, shown, together))
    rows.append(("", closed.formulas["published bubble"], published, "", f"as published: {same}"))
    columns = ["", f"k = {closed.formulas['k']} = {middle}", "formula", "picture", f"rank {middle} is idle, for"]
    return Table(rows, columns, formats=dict.fromkeys(("formula", "picture"), _figure))


class _Chip:
    """A term's letter on its colour."""

    def __init__(self, term: Term) -> None:
        self.term = term

    def __str__(self) -> str:
        return self.term.letter

    def _repr_html_(self) -> str:
        style = f"background:{self.term.colour};color:#fff;font-weight:bold;padding:0 6px;border-radius:2px"
        return f'<span style="{style}">{self.term.letter}</span>'


def _figure(value: Any) -> str:
    """The number, but for what rounding leaves of a 0."""
    return number(round(value, 9))
