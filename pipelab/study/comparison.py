"""Comparison: what every schedule costs, for the same model on the same ranks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, overload

from ..ir import Placement, Schedule, at_least
from ..schedules import SCHEDULES, build
from ..simulator.costs import Costs, divided
from ..simulator.engine import simulate
from ..timeline import Timeline


@dataclass(frozen=True)
class Row:
    """One schedule. A P-th is the P-th part of the model: what one rank holds where nothing is there twice.

    stages            into which the model is cut
    makespan          of one step
    bubble            idle time of a rank, on average
    bubble_fraction   bubble / makespan
    peak_activations  per rank, in what one micro-batch leaves in a P-th of the model
    parameters        copies of every parameter; where there are two, their gradients are summed after each step, which
                      is not in `messages`
    messages          between ranks in one step: activations and their gradients
    bytes             that they carry together: 0 where `message_bytes` is
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


_COLUMNS = {
    "schedule": ("", lambda row: row.name),
    "stages": ("into which the model is cut", lambda row: row.stages),
    "makespan": ("time of one step", lambda row: row.makespan),
    "bubble": ("idle time of a rank, on average", lambda row: row.bubble),
    "bubble %": ("bubble / makespan", lambda row: f"{100 * float(row.bubble_fraction):.1f}"),
    "activations": (
        "most on one rank at once, in what one micro-batch leaves in a rank's share of the model",
        lambda row: max(row.peak_activations),
    ),
    "parameters": ("copies of every parameter", lambda row: f"{row.parameters}×"),
    "messages": ("between ranks in one step", lambda row: row.messages),
    "bytes": ("that the messages carry together", lambda row: row.bytes),
}


@dataclass(frozen=True)
class Comparison(Sequence[Row]):
    """Rows in the order asked for; `left_out` says why a schedule is none of them. Prints as a table."""

    rows: tuple[Row, ...]
    left_out: dict[str, str]

    @overload
    def __getitem__(self, key: int | str) -> Row: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Row, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Row | tuple[Row, ...]:
        """The row of that number or name."""
        if isinstance(key, str):
            for row in self.rows:
                if row.name == key:
                    return row
            raise KeyError(self.left_out.get(key, key))
        return self.rows[key]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    @property
    def _columns(self) -> list[str]:
        """Those that say something: nobody asks for the bytes of messages without a size."""
        return [name for name in _COLUMNS if name != "bytes" or any(row.bytes for row in self.rows)]

    def _cells(self) -> list[list[str]]:
        return [[_text(_COLUMNS[name][1](row)) for name in self._columns] for row in self.rows]

    def __str__(self) -> str:
        table = [self._columns, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in table]
        return "\n".join([*lines, *(f"without {name}: {why}" for name, why in self.left_out.items())])

    __repr__ = __str__  # a notebook keeps it beside the HTML

    def _repr_html_(self) -> str:
        notes = "".join(f"<div>without {escape(name)}: {escape(why)}</div>" for name, why in self.left_out.items())
        meaning = {name: text for name, (text, _) in _COLUMNS.items()}
        return table_html(self._columns, self._cells(), meaning) + notes


def table_html(columns: Sequence[str], rows: Iterable[Sequence[str]], meaning: Mapping[str, str] | None = None) -> str:
    """A table whose first column is text and whose others are figures; what a column means is told at its name."""
    sides = ["left", *["right"] * (len(columns) - 1)]
    styles = [f'style="text-align:{side};padding:2px 0 2px 20px"' for side in sides]
    head = "".join(
        f'<th {style} title="{escape((meaning or {}).get(name, ""))}">{escape(name)}</th>'
        for name, style in zip(columns, styles, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td {style}>{escape(cell)}</td>" for cell, style in zip(row, styles, strict=True)) + "</tr>"
        for row in rows
    )
    return f'<table style="line-height:1.5"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def compare_schedules(
    ranks: int,
    microbatches: int,
    costs: Costs | None = None,
    schedules: Iterable[str] | None = None,
    chunks: int = 2,
) -> Comparison:
    """Simulate schedules by name (None: all) for the same model on the same ranks, and list what each one costs.

    costs    of a P-th of the model, one per rank or one for all (default: F = I = W = 1, messages free). A schedule
             with more stages than ranks cuts each P-th in equal parts. `message_bytes` is one number.
    chunks   stages per rank, of interleaved

    A schedule that is not made for so many ranks or micro-batches is left out, with the reason. ValueError for names,
    counts and costs that are none.

    >>> print(compare_schedules(4, 8, schedules=["1f1b", "zb-h1", "dualpipe"]))
    schedule  stages  makespan  bubble  bubble %  activations  parameters  messages
    1f1b           4        33       9      27.3            4          1×        48
    zb-h1          4        27       3      11.1            4          1×        48
    dualpipe       4        26       2       7.7            5          2×        48
    """
    costs = costs or Costs()
    for count, what in ((ranks, "ranks"), (microbatches, "micro-batches"), (chunks, "chunks")):
        at_least(1, count, what)
    if isinstance(costs.message_bytes, tuple):
        raise ValueError("message_bytes must be one number: schedules cut the model in different places")
    costs.require_stages(ranks)
    rows, left_out = [], {}
    for name in SCHEDULES if schedules is None else schedules:
        if name not in SCHEDULES:
            raise ValueError(f"no schedule is called {name!r}; there are {', '.join(SCHEDULES)}")
        try:
            schedule = build(name, ranks, microbatches, chunks if name == "interleaved" else None)
        except ValueError as error:
            left_out[name] = str(error)
        else:
            rows.append(_row(schedule, costs))
    return Comparison(tuple(rows), left_out)


def _row(schedule: Schedule, costs: Costs) -> Row:
    parts = schedule.num_stages // schedule.num_ranks
    timeline = simulate(schedule, costs.cut(parts))
    messages = 2 * sum(
        _crossings(schedule.placement, m, schedule.num_microbatches) for m in range(schedule.num_microbatches)
    )
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


def _crossings(placement: Placement, microbatch: int, num_microbatches: int) -> int:
    """Boundaries between stages at which a micro-batch goes from one rank to another."""
    route = placement.routes[placement.route_of(microbatch, num_microbatches)]
    return sum(here != there for here, there in zip(route, route[1:], strict=False))


def _text(value: Any) -> str:
    """Whole numbers in full, others with four digits, or all that are before the point."""
    if isinstance(value, int | str):
        return str(value)
    return f"{float(value):.0f}" if abs(value) >= 1000 else f"{float(value):.4g}"
