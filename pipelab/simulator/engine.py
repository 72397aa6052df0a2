"""simulate: Schedule + Costs -> Timeline, exactly."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..ir import Schedule, require_schedule, require_valid
from ..ir.check import flow_of
from ..ir.codes import KINDS, SENDS, PlainActions
from ..ir.flow import Flow, walk
from ..timeline import COMPUTE, Timeline
from .communication import with_communication
from .costs import Costs, require_costs


def simulate(schedule: Schedule, costs: Costs | None = None) -> Timeline:
    """Run a schedule on ideal ranks: every action starts as soon as its rank is free and what it needs has arrived.

    A rank does one action at a time, in its program's order. Messages are buffered at the receiver and don't slow each
    other down.

    Parameters
    ----------
    schedule : Schedule
    costs : Costs, optional
        Default: F = I = W = 1, messages free.

    Returns
    -------
    Timeline
        In the unit of `costs`; exact for whole numbers and Fractions.

    Raises
    ------
    ScheduleError
        With every problem, for a schedule that can't run; it never hangs.

    Examples
    --------
    >>> from pipelab.schedules import one_f_one_b
    >>> simulate(one_f_one_b(4, 8)).makespan
    33
    """
    require_schedule(schedule)
    costs = Costs() if costs is None else require_costs(costs)
    costs.require_stages(schedule.num_stages)
    flow = flow_of(schedule)
    journeys = costs.journeys(schedule.num_stages)
    durations = _durations(flow.parts, costs, schedule.num_stages)
    needs = flow.needs
    waits = _waits(flow, needs, journeys, costs.blocking_sends)
    end, stuck = walk(flow.bounds, needs, durations, *waits)
    if stuck:
        require_valid(schedule)
    ends = np.flatnonzero(~flow.parts.first)  # a pair's span is that of its second row
    times = np.array(end)
    streams = np.broadcast_to(COMPUTE, len(ends))
    columns: Any = flow.codes, flow.rank[ends], streams, _starts(flow, needs, times, *waits)[ends], times[ends]
    attributes: dict[str, Any] = {"unit": costs.unit, "free_at": costs.free_at, "journeys": journeys}
    timeline = Timeline(schedule.name, schedule.num_ranks, *columns, **attributes)
    return with_communication(timeline, flow, costs) if costs.blocking_sends or costs.communicates else timeline


def _starts(flow: Flow, needs: np.ndarray, end: np.ndarray, *waits: list) -> np.ndarray:
    """[rows] When each starts: as soon as its rank is free and what it needs has come."""
    delays, holds = (np.array(column) for column in waits or ([0], [0]))
    free = np.concatenate([[0], (end + holds)[:-1]])
    free[[low for low, high in pairwise(flow.bounds) if low < high]] = 0
    return np.where(needs >= 0, np.maximum(free, end[needs] + delays), free)


def _durations(parts: PlainActions, costs: Costs, num_stages: int) -> list[Any]:
    """One per row; of a pair, all in its second. Looked up, not computed in numpy, so that fractions stay fractions."""
    plain = KINDS[:SENDS]
    table = [costs.duration(kind, s) for kind in plain for s in range(num_stages)]
    kind, stage = parts.kind.astype(int), parts.stage
    entry = kind * num_stages + stage
    if parts.second.any():
        backward = np.flatnonzero(parts.second)
        shape = num_stages, len(plain), num_stages
        columns = stage[backward - 1], kind[backward], stage[backward]
        pairs, number = np.unique(np.ravel_multi_index(columns, shape), return_inverse=True)
        entry[backward] = len(table) + number
        for f, b, s in np.transpose(np.unravel_index(pairs, shape)).tolist():
            table.append(costs.pair(f, plain[b], s))
        entry[backward - 1] = len(table)
        table.append(0)
    return np.array(table, dtype=object)[entry].tolist()


def _waits(flow: Flow, needs: np.ndarray, journeys: tuple[Any, ...], blocking: bool) -> tuple[list, list] | tuple[()]:
    """Per row: how long what it needs from another rank travels, and how long its own sends hold the rank."""
    if not journeys:
        return ()
    waiting = np.flatnonzero(needs >= 0)
    delays: list = [0] * len(flow.codes)
    holds: list = [0] * len(flow.codes)
    crossed = flow.parts.boundary[waiting].tolist()
    for row, maker, between in zip(waiting.tolist(), needs[waiting].tolist(), crossed, strict=True):
        delays[row] = journeys[between]
        if blocking:
            holds[maker] = max(holds[maker], journeys[between])
    return delays, holds
