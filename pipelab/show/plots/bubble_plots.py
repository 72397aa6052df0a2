"""The terms of DualPipe's bubble: which gaps of the rank in the middle each of them counts, and their picture.

The ranks in the middle are idle longest, and the formula counts their idle time. Each of their gaps belongs to one of
its terms.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from matplotlib.patches import Rectangle

from ...ir.action import FORWARD
from ...schedules import SCHEDULES, registered
from ...simulator import Costs
from ...simulator.costs import require_costs
from ...timeline import Timeline
from ...timeline.dependencies import Gap
from ..backends.picture import Picture
from ..scene.chart import BAR
from .timeline_plots import caption, plot

_LETTERS = {
    "a": ("k·F", "#1F6FB5", "the first micro-batch is on its way to the middle"),
    "b": ("max(0, k·(I-F) - F)", "#8A6100", "the first gradient is on its way to the middle"),
    "c": ("k·(F&B - B)", "#C2185B", "ranks further out still do a pair, where this one does a backward alone"),
    "d": ("k·max(0, I - W)", "#00796B", "its work is done, and further out each I takes longer than a W beside it"),
}


class Term(NamedTuple):
    """One term of the bubble's formula, in F, I, W, B, F&B and k: the ranks between the end and the middle.

    meaning: why a rank is idle then;  colour: of its mark;  value: what the formula says;  gaps: of the rank in the
    middle, which the term counts
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

    In a simulation where messages are free, and F&B is no shorter than F and B, each term's `idle` is its `value`. The
    values add up to k(F&B-W-min(I,W)) + max(kF, kI-F).

    Parameters
    ----------
    timeline : Timeline
        Simulated or measured.
    costs : Costs
        Equal for all stages, and in any unit of time if the timeline is in one; without a unit they are in ms then.

    Returns
    -------
    tuple of Term
        With letter, formula, meaning, value (the formula's), gaps and idle (their length).

    Raises
    ------
    ValueError
        For another schedule, for costs per stage, and for costs in ms, say, of a timeline in abstract units.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import dualpipe
    >>> costs = Costs(10, 10, 10, overlapped=22)
    >>> [(term.letter, term.value, term.idle) for term in bubble_terms(simulate(dualpipe(8, 20), costs), costs)]
    [('a', 30, 30), ('b', 0, 0), ('c', 6, 6), ('d', 0, 0)]
    """
    middle, f, i, w, pair = middle_rank(timeline), *stage_costs(costs_of(timeline, costs))
    k = middle  # as many ranks lie before it
    values = (k * f, max(0, k * (i - f) - f), k * (pair - i - w), k * max(0, i - w))
    program = timeline.dependencies.programs[middle]
    backward = next(place for place, action in enumerate(program) if any(p.kind != FORWARD for p in action.computes))
    last_pair = max((place for place, action in enumerate(program) if action.parts), default=len(program))
    gaps: dict[str, list[Gap]] = {letter: [] for letter in _LETTERS}
    for gap in timeline.gaps(shortest=1e-9 * float(timeline.makespan)):  # rounding leaves shorter ones
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


def costs_of(timeline: Timeline, costs: Costs) -> Costs:
    """The costs in the timeline's unit of time."""
    if require_costs(costs).unit == timeline.unit:
        return costs
    if not timeline.unit:
        way = "give those that it was simulated with, which have no unit either"
        raise ValueError(f"the timeline is in abstract units, and the costs are in {costs.unit}: {way}")
    return costs.in_unit(timeline.unit)


def middle_rank(timeline: Timeline) -> int:
    """The rank whose idle time the formula counts: before DualPipe's middle, at DualPipeV's fold."""
    middle = registered(timeline.name).middle if timeline.name in SCHEDULES else None
    if middle is None:
        those = " and ".join(f"{name}'s" for name in with_middle())
        raise ValueError(f"the terms are those of {those} bubble, not of {timeline.name}'s")
    return middle(timeline.num_ranks)


def with_middle() -> list[str]:
    """The schedules that these terms are for."""
    return [name for name in SCHEDULES if registered(name).middle]


def plot_bubble(timeline: Timeline, costs: Costs, *, title: str | None = None) -> Picture:
    """`plot`, with the gaps of the rank in the middle in the colours of the terms that count them.

    Parameters
    ----------
    timeline, costs : Timeline, Costs
        Those of :func:`bubble_terms`.
    title : str, optional
        Its name and main figures by default.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import dualpipe
    >>> [text.get_text() for text in plot_bubble(simulate(dualpipe(8, 20)), Costs()).panels[0].texts]
    ['a', 'c', 'c', 'c']
    """
    picture, middle = plot(timeline, title=title or caption(timeline)), middle_rank(timeline)
    (axes,) = picture.panels
    for term, gap in each_gap(bubble_terms(timeline, costs)):
        start, length = float(gap.start - timeline.begin), float(gap.length)
        axes.add_patch(Rectangle((start, middle - BAR / 2), length, BAR, color=term.colour, linewidth=0))
        text: dict[str, Any] = {"s": term.letter, "x": start + length / 2, "ha": "center"}
        text |= {"fontsize": 8, "fontweight": "bold"}
        if length * picture.panel_width > 0.1 * float(timeline.makespan):  # inches
            axes.text(y=middle, va="center_baseline", color="w", **text)
        else:
            page = {"boxstyle": "square,pad=0.1", "facecolor": "w", "edgecolor": "none"}
            axes.text(y=middle - 0.45, va="bottom", color=term.colour, bbox=page, **text)
    return picture


def stage_costs(costs: Costs) -> tuple[Any, Any, Any, Any]:
    """F, I, W and F&B."""
    found = (*(costs.duration(kind, 0) for kind in "FIW"), costs.pair(0, "B", 0))
    costly = ("forward", "backward_input", "backward_weight", "overlapped")
    if uneven := [name for name in costly if isinstance(getattr(costs, name), tuple)]:
        raise ValueError(f"the bubble's formula takes all stages to cost the same; {uneven[0]} is one per stage")
    return found


def each_gap(terms: Iterable[Term]) -> list[tuple[Term, Gap]]:
    return [(term, gap) for term in terms for gap in term.gaps]
