"""Communication: what actions communicate, and blocking sends, as spans of their own on the communication stream."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.codes import KINDS, SENDS, PlainActions
from ..ir.flow import Flow
from ..timeline import COMM, COMPUTE, Timeline
from ..timeline.columns import chosen, in_order
from .costs import Costs


def with_communication(timeline: Timeline, flow: Flow, costs: Costs) -> Timeline:
    """The timeline of whole actions, one after the other as in `flow`, cut into spans on two streams."""
    start, end = (times.astype(object) for times in (timeline.start, timeline.end))
    compute, exchange = _split(flow.parts, costs)
    pair = flow.parts.first[~flow.parts.second]
    communicates = exchange.astype(bool)
    # Of a pair, both streams work from its start, the busier one to its end. Else communication comes last.
    longer = np.where(pair, exchange > compute, communicates).astype(bool)
    computed = np.where(longer, np.where(pair, np.minimum(end, start + compute), start + compute), end)
    exchanging = np.where(pair, start, start + compute)
    exchanged = np.where(longer, end, np.minimum(end, start + exchange))
    action = np.arange(len(start))
    spans = [(action, 0, timeline.codes, timeline.rank, COMPUTE, start, computed)]
    if communicates.any():
        some = np.flatnonzero(communicates)
        exchanges = chosen(timeline.codes, some), timeline.rank[some], COMM, exchanging[some], exchanged[some]
        spans.append((some, 1, *exchanges))
    if costs.blocking_sends and timeline.journeys:
        spans.append(_sends(timeline, flow, end))
    return _sorted(timeline, spans)


def _split(parts: PlainActions, costs: Costs) -> tuple[np.ndarray, np.ndarray]:
    """[actions] Computation and communication, of a pair those of both together."""
    stages = 1 + int(parts.stage.max(initial=0))
    table = [costs.split(kind, stage) for kind in KINDS[:SENDS] for stage in range(stages)]
    entry, first = parts.kind.astype(int) * stages + parts.stage, np.flatnonzero(~parts.second)
    found = []
    for column in zip(*table, strict=True):
        values = np.array([*column, 0], dtype=object)[np.append(entry, -1)]
        found.append(values[first] + np.where(parts.first[first], values[first + 1], 0))
    return found[0], found[1]


def _sends(timeline: Timeline, flow: Flow, end: np.ndarray) -> tuple:
    """One span for each message, from the end of the action that sends it."""
    needer, maker = flow.messages()
    journeys = np.array(timeline.journeys, dtype=object)[flow.parts.boundary[needer]]
    by_maker = np.argsort(maker)
    maker, journeys = maker[by_maker], journeys[by_maker]
    action = (np.cumsum(~flow.parts.second) - 1)[maker]
    return action, 2, flow.sends(maker), timeline.rank[action], COMM, end[action], end[action] + journeys


def _sorted(timeline: Timeline, spans: list[tuple]) -> Timeline:
    """The timeline with these spans instead, given as columns: (action, place among its spans, codes, rank, ...)."""
    lengths = [len(each[0]) for each in spans]
    action = np.concatenate([each[0] for each in spans])
    place, stream = (np.repeat([each[at] for each in spans], lengths) for at in (1, 4))
    codes, rank, start, end = (np.concatenate([each[at] for each in spans]) for at in (2, 3, 5, 6))
    order = np.lexsort((place, action))  # stable: two sends of one action stay in their order
    start, end = (np.array(times.tolist()) for times in (start, end))  # whole numbers, floats or fractions, all alike
    order = order[in_order(rank[order], start[order], end[order])]
    columns: Any = {"actions": chosen(codes, order), "rank": rank[order], "stream": stream[order]}
    return replace(timeline, **columns, start=start[order], end=end[order])
