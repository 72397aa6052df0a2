"""Timelines to test with, and their figures worked out a second time, cell by cell: from one event to the next."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from pipelab import simulate
from pipelab.ir import Action, Schedule, bidirectional
from pipelab.timeline import Span, Timeline
from tests.ir.generate import valid_schedules
from tests.simulator.reference import random_costs

Cell = tuple[Any, Any]

# Rank 1, in the middle of both routes, has a pair that sends both ways.
BOTH_WAYS = Schedule(
    "both ways",
    bidirectional(3),
    2,
    tuple(
        tuple(map(Action.parse, program.split()))
        for program in ("0F0 2F1 2B1 0B0", "1F0 (1F1;1B0)OVERLAP_F_B 1B1", "0F1 2F0 2B0 0B1")
    ),
)


@st.composite
def timelines(draw, positive: bool = False) -> Timeline:
    """Of any small schedule, with any costs."""
    schedule = draw(valid_schedules(max_ranks=3, max_microbatches=3))
    return simulate(schedule, draw(random_costs(schedule.num_stages, positive)))


def cells(timeline: Timeline) -> list[Cell]:
    """The time from the first start to the last end, cut wherever anything starts or ends."""
    times = sorted({time for span in timeline.spans for time in span[3:]})
    return list(zip(times, times[1:], strict=False))


def length(some: list[Cell]) -> Any:
    return sum(high - low for low, high in some)


def is_send(span: Span) -> bool:
    return span.action.kind in ("SEND_F", "SEND_B")


def running(timeline: Timeline, rank: int, cell: Cell) -> list[Span]:
    """The spans of a rank that run during a cell."""
    return [span for span in timeline.spans if span.rank == rank and span.start <= cell[0] and cell[1] <= span.end]


def idle_cells(timeline: Timeline, rank: int) -> list[Cell]:
    return [cell for cell in cells(timeline) if all(is_send(span) for span in running(timeline, rank, cell))]


def exposed(timeline: Timeline, rank: int) -> Any:
    def streams(cell: Cell) -> set[str]:
        return {span.stream for span in running(timeline, rank, cell)}

    return length([cell for cell in cells(timeline) if streams(cell) == {"comm"}])


def phase(timeline: Timeline, rank: int, cell: Cell) -> int:
    """0 warm-up: no backward has started; 2 drain: no forward is still to end; else 1, steady."""
    parts = [(part.kind, span) for span in timeline.spans if span.rank == rank for part in span.action.computes]
    if not any(kind != "F" and span.start <= cell[0] for kind, span in parts):
        return 0
    return 1 if any(kind == "F" and span.end >= cell[1] for kind, span in parts) else 2


def held(timeline: Timeline, rank: int, cell: Cell) -> int:
    """Activations held during a cell: those whose F has started, and whose backward (free_at) has not ended.

    Forward only, what they are made for is over with their F.
    """
    made, freed = set(), set()
    trains = any(part.kind in "IWB" for span in timeline.spans for part in span.action.computes)
    for span in timeline.spans:
        for part in span.action.computes if span.rank == rank else ():
            key = part.stage, part.microbatch
            if part.kind == "F" and span.start <= cell[0]:
                made.add(key)
            if part.kind in (("B", timeline.free_at) if trains else "F"):  # its last span counts, on whichever stream
                ends = max(s.end for s in timeline.spans if s.rank == rank and s.action == span.action)
                if ends <= cell[0]:
                    freed.add(key)
    return len(made - freed)


def middle(cell: Cell) -> Any:
    return Fraction(cell[0] + cell[1]) / 2
