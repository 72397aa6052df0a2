"""Figures: what a timeline comes to, as text for a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.codes import KIND_B, KIND_F, KIND_I
from ..table import Table
from ..timeline import Timeline
from ..timeline.units import NANOSECONDS

#: What each figure means, with its denominator: shown where the reader points at its name.
MEANING = {
    "makespan": "from the first action's start to the last one's end, over all ranks",
    "bubble fraction": "idle time of all ranks / (ranks · makespan)",
    "bubble / ideal": "idle time of all ranks / their busy time: the other convention in the literature",
    "idle per rank": "makespan minus busy time, rank by rank",
    "idle in warm-up, steady, drain": "the same, all ranks together: before a rank's first backward, until its last "
    "forward's end, and after it",
    "exposed communication": "time in which a rank communicates and computes nothing, rank by rank",
    "peak activations": "the most activations that a rank holds at once, each of one stage and micro-batch, rank by "
    "rank",
    "peak in shares of a rank": "the same, counted in what one micro-batch leaves in a rank's share of the model: with "
    "two stages per rank, an activation of one of them is half of that",
    "messages": "between ranks: activations and their gradients",
}


def figures_table(timelines: Timeline | Mapping[str, Timeline], *, in_shares: bool = False) -> Table:
    """Every figure of a timeline, or of several side by side.

    Parameters
    ----------
    timelines : Timeline, or mapping of str to Timeline
        Of several, each has a column with its name above.
    in_shares : bool
        The peak of activations also in a unit in which schedules with stages of different lengths compare. Of several
        timelines always, where a stage is only a part of what a rank holds.

    Raises
    ------
    ValueError
        For timelines in abstract units beside others in ms, say: their times do not compare. Other units become one.

    Returns
    -------
    Table
        Rows of texts: a figure's name, and its value. What each means is its tooltip.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> figures_table(simulate(gpipe(4, 8)))[:2]
    (('makespan', '33'), ('bubble fraction', '27.3 %'))
    """
    named = timelines if isinstance(timelines, Mapping) else {"": timelines}
    in_shares = in_shares or len(named) > 0 and isinstance(timelines, Mapping) and max(map(_parts, named.values())) > 1
    found = [_figures(timeline, in_shares) for timeline in in_one_unit("one table", *named.values())]
    rows = [(name, *(each.get(name, "") for each in found)) for name in MEANING if any(name in each for each in found)]
    return Table(rows, ["", *named], meanings=MEANING)


def in_one_unit(what: str, *timelines: Timeline) -> list[Timeline]:
    """The same timelines in the unit of the last one; ValueError where there is no way. what: is to show them all."""
    unit = one_unit(what, [timeline.unit for timeline in timelines])
    return [timeline if timeline.unit == unit else timeline.in_unit(unit) for timeline in timelines]


def one_unit(what: str, units: Sequence[str]) -> str:
    """The last of these; ValueError where times in the others do not become times in it. what: is to show them all."""
    if len(set(units)) < 2:
        return units[-1] if units else ""
    if strange := [unit for unit in units if unit not in NANOSECONDS]:
        told = " and ".join(dict.fromkeys(unit or "abstract units" for unit in units))
        way = 'simulate with Costs(…, unit="ms"); of a run, take its .simulated, which is in ms'
        raise ValueError(f"{what} can't show {told}: {strange[0] or 'an abstract unit'} is no known time; {way}")
    return units[-1]


def _figures(timeline: Timeline, in_shares: bool) -> dict[str, str]:
    unit = f" {timeline.unit}" if timeline.unit else ""
    noise = 1e-9 * float(timeline.makespan)  # what rounding may leave of nothing

    def times(values: Iterable[Any]) -> str:
        return _listed((value if value > noise else 0 for value in values), unit)

    found = {
        "makespan": number(timeline.makespan, timeline.unit),
        "bubble fraction": percent(timeline.bubble_fraction),
        "bubble / ideal": percent(timeline.bubble_over_ideal),
        "idle per rank": times(timeline.idle),
        "idle in warm-up, steady, drain": times(map(sum, zip(*timeline.idle_by_phase, strict=True))),
        "peak activations": _listed(timeline.peak_activations),
        "messages": str(_messages(timeline)),
    }
    if any(timeline.exposed_communication):
        found["exposed communication"] = times(timeline.exposed_communication)
    if in_shares:
        found["peak in shares of a rank"] = _listed(peak / _parts(timeline) for peak in timeline.peak_activations)
    return found


def _parts(timeline: Timeline) -> int:
    """Into how many stages a rank's share of the model is cut."""
    return max(1, timeline.dependencies.num_stages // max(1, timeline.num_ranks))


def _messages(timeline: Timeline) -> int:
    """Between two ranks: a forward's to the next stage, a backward's to the one before."""
    rows = timeline.columns
    kind, stage, microbatch, _ = rows.parts
    numbers, column = np.unique(microbatch, return_inverse=True)
    count = 0
    for kinds in ((KIND_F,), (KIND_B, KIND_I)):
        done = np.isin(kind, kinds)
        where = np.full((1 + stage.max(initial=0), len(numbers)), -1)
        where[stage[done], column[done]] = rows.rank[rows.row[done]]
        upper, lower = where[1:], where[:-1]
        count += int(np.count_nonzero((upper >= 0) & (lower >= 0) & (upper != lower)))
    return count


def number(value: Any, unit: str = "") -> str:
    """A number with at most four significant digits, such as 33, 22.8 or 0.0625, and its unit, if it has one.

    >>> number(22.799999), number(1331.2, "ms")
    ('22.8', '1331 ms')
    """
    value = float(value)
    digits = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return f"{digits} {unit}" if unit else digits


def origin(timeline: Timeline) -> str:
    """How a timeline came about: "simulated", say, or "measured, paced"."""
    return f"{timeline.source}, {timeline.note}" if timeline.note else timeline.source


def percent(value: Any) -> str:
    """A fraction as a percentage."""
    return f"{100 * float(value):.1f} %"


def kilobytes(value: float) -> str:
    """A number of bytes, in kB or MB."""
    return f"{value / 1e6:.2f} MB" if value >= 1e6 else f"{value / 1e3:.0f} kB"


def _listed(values: Iterable[Any], unit: str = "") -> str:
    """One number where all are equal, which says more; otherwise all of them, with equal neighbours grouped."""
    texts = [number(value) for value in values]
    if len(texts) > 1 and len(set(texts)) == 1:
        return f"{texts[0]}{unit} each"
    groups: list[list[Any]] = []
    for text in texts:
        if groups and groups[-1][0] == text and len(texts) > 8:
            groups[-1][1] += 1
        else:
            groups.append([text, 1])
    return " · ".join(text if times == 1 else f"{text} ({times}×)" for text, times in groups) + unit
