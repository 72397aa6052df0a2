"""Bubble: the terms of DualPipe's formula, lit up in the picture.

The ranks in the middle are idle longest, and the formula counts their idle time. Each of their gaps belongs to one of
its terms: it is marked with that term's colour and letter, and stands with it in a table.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import partial
from html import escape
from typing import Any, NamedTuple

import ipywidgets as widgets
from matplotlib.patches import Rectangle

from ..ir.action import FORWARD
from ..simulator import Costs, theory
from ..timeline import Timeline
from ..timeline.dependencies import Gap
from .controls import Controls
from .explorer import Explorer
from .figures import number
from .picture import Picture
from .plots import caption, plot
from .svg import Geometry

_LETTERS = {
    "a": ("k·F", "#1F6FB5", "the first micro-batch is on its way to the middle"),
    "b": ("max(0, k·(I-F) - F)", "#8A6100", "the first gradient is on its way to the middle"),
    "c": ("k·(F&B - B)", "#C2185B", "ranks further out still do a pair, where this one does a backward alone"),
    "d": ("k·max(0, I - W)", "#00796B", "its work is done, and further out each I takes longer than a W beside it"),
}
_CONTROLS = ("ranks", "microbatches", "overlapped", "forward", "backward_input", "backward_weight")
_LIMITS = {"ranks": (2, 16, 2), "microbatches": (4, 64, 2)}  # DualPipe takes even numbers


class Term(NamedTuple):
    """One term of the bubble's formula.

    formula   in F, I, W, B, F&B and k: the ranks between the end and the middle
    meaning   why a rank is idle then;  colour: of its mark
    value     what the formula says;  gaps: of the rank in the middle, which the term counts
    """

    letter: str
    formula: str
    meaning: str
    colour: str
    value: Any
    gaps: tuple[Gap, ...]

    @property
    def idle(self) -> Any:
        """What the timeline shows: the gaps' summed length."""
        return sum(gap.length for gap in self.gaps)


def bubble_terms(timeline: Timeline, costs: Costs) -> tuple[Term, ...]:
    """The terms of DualPipe's or DualPipeV's bubble, and which gaps of the rank in the middle each of them counts.

    timeline   simulated or measured;  costs: in its unit of time, equal for all stages

    In a simulation where messages are free, and F&B is no shorter than F and B, each term's `idle` is its `value`. The
    values add up to k(F&B-W-min(I,W)) + max(kF, kI-F). ValueError for another schedule, and for costs per stage.

    >>> from pipelab import dualpipe, simulate
    >>> costs = Costs(10, 10, 10, overlapped=22)
    >>> [(term.letter, term.value, term.idle) for term in bubble_terms(simulate(dualpipe(8, 20), costs), costs)]
    [('a', 30, 30), ('b', 0, 0), ('c', 6, 6), ('d', 0, 0)]
    """
    middle, f, i, w, pair = middle_rank(timeline), *_stage_costs(costs)
    k = middle  # as many ranks lie before it
    values = (k * f, max(0, k * (i - f) - f), k * (pair - i - w), k * max(0, i - w))
    program = timeline.dependencies.programs[middle]
    backward = next(place for place, action in enumerate(program) if any(p.kind != FORWARD for p in action.computes))
    last_pair = max((place for place, action in enumerate(program) if action.parts), default=len(program))
    gaps: dict[str, list[Gap]] = {letter: [] for letter in _LETTERS}
    for gap in timeline.gaps(shortest=1e-9 * float(timeline.makespan)):  # floats leave gaps that are none
        if gap.rank != middle:
            continue
        place = len(program) if gap.before is None else program.index(gap.before)
        if place == len(program):
            gaps["d"].append(gap)
        elif place > last_pair:
            gaps["c"].append(gap)
        elif place == 0:
            gaps["a"].append(gap)
        elif place == backward:
            gaps["b"].append(gap)
    return tuple(
        Term(letter, formula, meaning, colour, value, tuple(gaps[letter]))
        for (letter, (formula, colour, meaning)), value in zip(_LETTERS.items(), values, strict=True)
    )


def middle_rank(timeline: Timeline) -> int:
    """The rank whose idle time the formula counts: before DualPipe's middle, at DualPipeV's fold."""
    if timeline.name not in ("dualpipe", "dualpipe-v"):
        raise ValueError(f"the terms are those of dualpipe's and dualpipe-v's bubble, not of {timeline.name}'s")
    return timeline.num_ranks // (2 if timeline.name == "dualpipe" else 1) - 1


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
    for term, gap in _each_gap(terms):
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
    middle, (f, i, w, pair) = middle_rank(timeline), _stage_costs(costs)
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


def plot_bubble(timeline: Timeline, costs: Costs, *, title: str | None = None) -> Picture:
    """`plot`, with the gaps of the rank in the middle in the colours of the terms that count them.

    >>> from pipelab import dualpipe, simulate
    >>> picture = plot_bubble(simulate(dualpipe(8, 20)), Costs())
    """
    picture, middle = plot(timeline, title=title or caption(timeline)), middle_rank(timeline)
    (axes,) = picture.panels
    for term, gap in _each_gap(bubble_terms(timeline, costs)):
        start, length = float(gap.start - timeline.begin), float(gap.length)
        axes.add_patch(Rectangle((start, middle - 0.43), length, 0.86, color=term.colour, linewidth=0))
        text: dict[str, Any] = {"s": term.letter, "x": start + length / 2, "ha": "center"}
        text |= {"fontsize": 8, "fontweight": "bold"}
        if length * picture.panel_width > 0.1 * float(timeline.makespan):  # inches
            axes.text(y=middle, va="center_baseline", color="w", **text)
        else:
            page = {"boxstyle": "square,pad=0.1", "facecolor": "w", "edgecolor": "none"}
            axes.text(y=middle - 0.45, va="bottom", color=term.colour, bbox=page, **text)
    return picture


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
    """`explore` for DualPipe or DualPipeV, with the terms of the bubble's formula marked in the picture.

    The arguments are those of `explore`. overlapped begins at F + I + W, where an overlapped pair gains nothing.

    >>> explore_bubble(overlapped=2.2)
    explorer: dualpipe, 8 ranks, 20 micro-batches
    """
    begin = {"forward": 1.0, "backward_input": 1.0, "backward_weight": 1.0, **costs}
    begin.setdefault("overlapped", begin["forward"] + begin["backward_input"] + begin["backward_weight"])
    values = {"ranks": ranks, "microbatches": microbatches, **begin}
    names = ("dualpipe", "dualpipe-v")
    return BubbleExplorer(
        Controls(schedule, None, names, controls, {**_LIMITS, **(limits or {})}, values), pace_ms, steps
    )


class BubbleExplorer(Explorer):
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


def _stage_costs(costs: Costs) -> tuple[Any, Any, Any, Any]:
    """F, I, W and F&B."""
    found = (*(costs.duration(kind, 0) for kind in "FIW"), costs.pair(0, "B", 0))
    costly = ("forward", "backward_input", "backward_weight", "overlapped")
    if uneven := [name for name in costly if isinstance(getattr(costs, name), tuple)]:
        raise ValueError(f"the bubble's formula takes all stages to cost the same; {uneven[0]} is one per stage")
    return found


def _each_gap(terms: Iterable[Term]) -> list[tuple[Term, Gap]]:
    return [(term, gap) for term in terms for gap in term.gaps]


def _chip(term: Term) -> str:
    style = f"background:{term.colour};color:#fff;font-weight:bold;padding:0 6px;border-radius:2px"
    return f'<span style="{style}">{term.letter}</span>'


def _figure(value: Any) -> str:
    """The number, but for what rounding leaves of a 0."""
    return number(round(value, 9))
