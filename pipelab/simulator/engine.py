"""simulate: Schedule + Costs -> Timeline, exactly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..ir import Schedule, require_schedule, require_valid
from ..ir.flow import walk
from ..ir.messages import sent
from ..timeline import COMM, COMPUTE, Span, Timeline
from .costs import Costs, require_costs
from .encode import CODES, KINDS, Encoded, encode


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
    encoded = encode(schedule)
    durations = _durations(encoded, costs, schedule.num_stages)
    journeys = costs.journeys(schedule.num_stages)
    needs, delays, also_needs, also_delays, holds = _waits(encoded, journeys, costs.blocking_sends)
    start, end, stuck = walk(encoded.bounds, needs, also_needs, durations, delays, also_delays, holds)
    if stuck:
        require_valid(schedule)
    columns = encoded.actions, encoded.rank, np.full(len(start), COMPUTE), np.array(start), np.array(end)
    attributes: dict[str, Any] = {"unit": costs.unit, "free_at": costs.free_at, "journeys": journeys}
    timeline = Timeline(schedule.name, schedule.num_ranks, *columns, **attributes)
    if any(holds) or costs.communicates:
        return Timeline.from_spans(_spans(timeline, schedule, costs), **timeline.attributes)
    return timeline


def _durations(encoded: Encoded, costs: Costs, num_stages: int) -> list[Any]:
    """One per action. Looked up, not computed in numpy, so that fractions stay fractions."""
    table = [costs.duration(kind, s) for kind in CODES for s in range(num_stages)]
    kind, stage, owner = encoded.kind, encoded.stage, encoded.owner
    is_second = np.diff(owner, prepend=-1) == 0  # of a pair
    entry = (kind * num_stages + stage)[~is_second]
    if is_second.any():
        backward = np.flatnonzero(is_second)
        shape = num_stages, len(KINDS), num_stages
        columns = stage[backward - 1], kind[backward], stage[backward]
        pairs, number = np.unique(np.ravel_multi_index(columns, shape), return_inverse=True)
        entry[owner[backward]] = len(table) + number
        for f, code, b in np.transpose(np.unravel_index(pairs, shape)).tolist():
            table.append(costs.pair(f, KINDS[code], b))
    return list(map(table.__getitem__, entry.tolist()))


def _waits(encoded: Encoded, journeys: tuple[Any, ...], blocking: bool) -> tuple[list, list, list, list, list]:
    """Per action: up to two needs from other ranks, how long each travels, and how long its own sends hold the rank."""
    count = len(encoded.actions)
    needer, maker = encoded.needer, encoded.maker
    second = np.ones(len(needer), dtype=bool)  # only a pair has two needs
    second[np.unique(needer, return_index=True)[1]] = False
    needs, also_needs = np.full(count, -1), np.full(count, -1)
    needs[needer[~second]] = maker[~second]
    also_needs[needer[second]] = maker[second]
    delays, also_delays, holds = [0] * count, [0] * count, [0] * count
    if journeys:
        rows = zip(needer.tolist(), maker.tolist(), encoded.boundary.tolist(), second.tolist(), strict=True)
        for needing, making, boundary, is_second in rows:
            journey = journeys[boundary]
            (also_delays if is_second else delays)[needing] = journey
            if blocking:
                holds[making] = max(holds[making], journey)
    return needs.tolist(), delays, also_needs.tolist(), also_delays, holds


def _spans(timeline: Timeline, schedule: Schedule, costs: Costs) -> Iterator[Span]:
    """Communication inside actions, and blocking sends, get spans of their own on the communication stream."""
    for rank, _, action, start, end in timeline.spans:
        computation, communication = map(sum, zip(*(costs.split(*part[:2]) for part in action.computes), strict=True))
        if not communication:
            yield Span(rank, COMPUTE, action, start, end)
        elif action.parts:  # both streams work from its start, the busier one to its end
            communicates_longer = communication > computation
            yield Span(rank, COMPUTE, action, start, min(end, start + computation) if communicates_longer else end)
            yield Span(rank, COMM, action, start, end if communicates_longer else min(end, start + communication))
        else:
            yield Span(rank, COMPUTE, action, start, start + computation)
            yield Span(rank, COMM, action, start + computation, end)
        for part in action.computes if costs.blocking_sends and timeline.journeys else ():
            if message := sent(part, schedule):
                journey = timeline.journeys[message.boundary]
                yield Span(rank, COMM, message.send, end, end + journey)
