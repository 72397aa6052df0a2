"""Comparison: what every schedule costs, for the same model on the same ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ..amounts import at_least, divided
from ..ir import Schedule
from ..schedules import SCHEDULES, build, registered
from ..simulator.costs import Costs, require_costs
from ..simulator.engine import simulate
from ..table import R, Table
from ..timeline import Timeline


@dataclass(frozen=True)
class Row:
    """One schedule. A P-th is the P-th part of the model: what one rank holds where nothing is there twice.

    Attributes
    ----------
    schedule, timeline
        What was simulated, and how it went.
    stages : int
        Into which the model is cut.
    makespan : number
        Time of one step.
    bubble : number
        Idle time of a rank, on average.
    bubble_fraction : number
        bubble / makespan.
    peak_activations : tuple of numbers
        Per rank, in units of what one micro-batch leaves in a P-th of the model.
    parameters : int
        Copies of every parameter; where there are two, their gradients are summed after each step, which is not in
        `messages`.
    messages : int
        Between ranks in one step: activations and their gradients.
    bytes : number
        That they carry together: 0 where `message_bytes` is.
    """

    schedule: Schedule
    timeline: Timeline
    stages: int
    makespan: Any
    bubble: Any
    bubble_fraction: Any
    peak_activations: tuple[Any, ...]
    parameters: int
    messages: int
    bytes: Any

    @property
    def name(self) -> str:
        return self.schedule.name


class PartialTable(Table[R]):
    """A row per schedule. `left_out` says, by name, why a schedule has none; so do notes below the table.

    columns    heading -> (what it means, value of a row)
    """

    def __init__(
        self,
        rows: Iterable[R],
        columns: Mapping[str, tuple[str, Callable[[R], Any]]],
        left_out: Mapping[str, str],
        formats: Mapping[str, str],
        notes: Iterable[str] = (),
    ) -> None:
        self.left_out = dict(left_out)
        super().__init__(
            rows,
            {name: value for name, (_, value) in columns.items()},
            formats=formats,
            meanings={name: meaning for name, (meaning, _) in columns.items()},
            notes=[*notes, *(f"without {name}: {why}" for name, why in left_out.items())],
        )

    def __getitem__(self, key: Any) -> Any:
        try:
            return super().__getitem__(key)
        except KeyError:
            raise KeyError(self.left_out.get(key, key)) from None


_COLUMNS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    "schedule": ("", lambda row: row.name),
    "stages": ("into which the model is cut", lambda row: row.stages),
    "makespan": ("time of one step", lambda row: row.makespan),
    "bubble": ("idle time of a rank, on average", lambda row: row.bubble),
    "bubble %": ("bubble / makespan", lambda row: 100 * float(row.bubble_fraction)),
    "activations": (
        "most on one rank at once, in what one micro-batch leaves in a rank's share of the model",
        lambda row: max(row.peak_activations),
    ),
    "parameters": ("copies of every parameter", lambda row: row.parameters),
    "messages": ("between ranks in one step", lambda row: row.messages),
    "bytes": ("that the messages carry together", lambda row: row.bytes),
}


class Comparison(PartialTable[Row]):
    """A table of schedules in the order asked for; rows are found by number or name.

    Attributes
    ----------
    left_out : dict of str to str
        Name -> why the schedule is not in the table.

    Examples
    --------
    >>> found = compare_schedules(3, 7, schedules=["1f1b", "dualpipe"])
    >>> found["1f1b"].makespan, *found.left_out
    (27, 'dualpipe')
    """

    def __init__(self, rows: Iterable[Row], left_out: Mapping[str, str]) -> None:
        rows = tuple(rows)
        sized = any(row.bytes for row in rows)  # nobody asks for the bytes of messages without a size
        columns = {name: column for name, column in _COLUMNS.items() if name != "bytes" or sized}
        units = dict.fromkeys(row.timeline.unit for row in rows if row.timeline.unit)
        notes = [f"times in {unit}" for unit in units]
        super().__init__(rows, columns, left_out, {"bubble %": ".1f", "parameters": "{}×"}, notes)


def compare_schedules(
    ranks: int,
    microbatches: int,
    costs: Costs | None = None,
    *,
    schedules: Iterable[str] | None = None,
    chunks: int = 2,
) -> Comparison:
    """Simulate schedules for the same model on the same ranks, and list what each one costs.

    A schedule that is not made for so many ranks or micro-batches is left out, with the reason.

    Parameters
    ----------
    ranks, microbatches : int
        P and M.
    costs : Costs, optional
        Of a P-th of the model: one number, or one per rank (default: F = I = W = 1, messages free). A schedule with
        more stages than ranks cuts each P-th in equal parts. `message_bytes` must be one number.
    schedules : iterable of str, optional
        Names. Default: all.
    chunks : int
        Stages per rank, for schedules that have a choice.

    Raises
    ------
    ValueError
        For an unknown name, and counts or costs that don't fit.

    Examples
    --------
    >>> compare_schedules(4, 8, schedules=["1f1b", "zb-h1", "dualpipe"])
    schedule  stages  makespan  bubble  bubble %  activations  parameters  messages
    1f1b           4        33       9      27.3            4          1×        48
    zb-h1          4        27       3      11.1            4          1×        48
    dualpipe       4        26       2       7.7            5          2×        48
    """
    costs = Costs() if costs is None else require_costs(costs)
    ranks, microbatches = at_least(1, ranks, "ranks"), at_least(1, microbatches, "microbatches")
    chunks = at_least(1, chunks, "chunks")
    if isinstance(costs.message_bytes, tuple):
        raise ValueError("message_bytes must be one number: schedules cut the model in different places")
    costs.require_stages(ranks)
    rows, left_out = [], {}
    for name in SCHEDULES if schedules is None else schedules:
        chosen = None if registered(name).chunks is None else chunks
        try:
            schedule = build(name, ranks, microbatches, chunks=chosen)
        except ValueError as error:
            left_out[name] = str(error)
        else:
            rows.append(_row(schedule, costs))
    return Comparison(rows, left_out)


def _row(schedule: Schedule, costs: Costs) -> Row:
    parts = schedule.num_stages // schedule.num_ranks
    timeline = simulate(schedule, costs.cut(parts))
    messages = 2 * sum(_crossings(schedule, microbatch) for microbatch in range(schedule.num_microbatches))
    return Row(
        schedule=schedule,
        timeline=timeline,
        stages=schedule.num_stages,
        makespan=timeline.makespan,
        bubble=divided(sum(timeline.idle), schedule.num_ranks),
        bubble_fraction=timeline.bubble_fraction,
        peak_activations=tuple(divided(peak, parts) for peak in timeline.peak_activations),
        parameters=len(schedule.placement.holders(0)),
        messages=messages,
        bytes=messages * costs.message_bytes,
    )


def _crossings(schedule: Schedule, microbatch: int) -> int:
    """Boundaries between stages at which a micro-batch goes from one rank to another."""
    route = [schedule.rank_of(stage, microbatch) for stage in range(schedule.num_stages)]
    return sum(here != there for here, there in pairwise(route))
