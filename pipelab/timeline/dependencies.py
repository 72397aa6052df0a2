"""Dependencies: why a rank is idle in a gap, and which chain of actions makes a timeline as long as it is."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..amounts import at_least, plain
from ..ir import Action
from ..ir.codes import SENDS, PlainActions, actions_of, codes_of
from ..ir.flow import Key, Places, alternatives
from .columns import Columns, chosen
from .span import COMM, COMPUTE, Span

Doer = tuple[int, Action]  # an action and the rank that does it


class Gap(NamedTuple):
    """An interval in which a rank is idle.

    Attributes
    ----------
    rank : int
    start, end : numbers, in the timeline's unit
    reason : str
        One plain sentence.
    before : Action or None
        The action that ends the gap; None after the rank's last one, and while a blocking send holds the rank.
    waits_for : Action or None
        The action for whose result the rank waits; None where it waits for nothing.
    source : int or None
        The rank that does `waits_for`.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> gap = simulate(gpipe(2, 1)).gaps()[1]
    >>> gap.length, gap.before, gap.waits_for, gap.source
    (1, 1F0, 0F0, 0)
    """

    rank: int
    start: Any
    end: Any
    reason: str
    before: Action | None = None
    waits_for: Action | None = None
    source: int | None = None

    @property
    def length(self) -> Any:
        return self.end - self.start


class Dependencies:
    """Actions with what each of them needed, and what of it came last. A Timeline has its own as `dependencies`.

    Parameters
    ----------
    spans : iterable of Span, or Columns
    num_ranks : int
    journeys : sequence of numbers, optional
        Entry s: how long a message travels between stages s and s + 1. Default: no time.

    Attributes
    ----------
    extents : dict
        (rank, action) -> (start, end) of the action as a whole, over both streams.
    producers : dict
        (kind, stage, micro-batch) -> the (rank, action) that does it.
    programs : list of list of Action, [ranks]
        Every rank's actions by their start.
    num_stages : int
    rows : Columns
        The same as columns, one row per action, rank after rank in the order of `programs`.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> Dependencies(simulate(gpipe(2, 1)).spans, 2).gaps()[1].reason
    'rank 1 waits for 0F0 from rank 0'
    """

    def __init__(self, spans: Iterable[Span] | Columns, num_ranks: int, *, journeys: Sequence[Any] = ()) -> None:
        self.rows = spans if isinstance(spans, Columns) else _columns([*spans])
        self.num_ranks, self.journeys = at_least(0, num_ranks, "num_ranks"), journeys
        self.num_stages = 1 + int(self.rows.parts.stage[self.rows.parts.kind < SENDS].max(initial=0))
        self.bounds = np.searchsorted(self.rows.rank, np.arange(self.num_ranks + 1)).tolist()

    # -- as Actions --------------------------------------------------------------------------------------------------

    @cached_property
    def actions(self) -> tuple[Action, ...]:
        """[rows]"""
        return actions_of(self.rows.codes)

    @cached_property
    def extents(self) -> dict[Doer, tuple[Any, Any]]:
        rows = self.rows
        doers = zip(rows.rank.tolist(), self.actions, strict=True)
        return dict(zip(doers, zip(rows.start.tolist(), rows.end.tolist(), strict=True), strict=True))

    @cached_property
    def producers(self) -> dict[Key, Doer]:
        found: dict[Key, Doer] = {}
        for rank, action in self.extents:
            for part in action.computes:
                found.setdefault(part[:3], (rank, action))  # if it is done twice, where it is done first, as in Places
        return found

    @cached_property
    def programs(self) -> list[list[Action]]:
        return [[*self.actions[low:high]] for low, high in pairwise(self.bounds)]

    @cached_property
    def _row_of(self) -> dict[Doer, int]:
        return {doer: row for row, doer in enumerate(self.extents)}

    def needs(self, action: Action) -> list[Doer]:
        """Everything that an action needed, on any rank; what both parts of a pair needed comes once."""
        keys = (key for part in action.computes for keys in alternatives(part, self.num_stages) for key in keys)
        return list(dict.fromkeys(self.producers[key] for key in keys if key in self.producers))

    def last_message(self, rank: int, action: Action) -> tuple[Doer, Any] | None:
        """What arrived last of all that an action needed from other ranks, and when."""
        makers, arrivals = self._last_messages
        row = self._row_of[rank, action]
        if (maker := makers[row]) < 0:
            return None
        return (int(self.rows.rank[maker]), self.actions[maker]), plain(arrivals[row])

    # -- as columns --------------------------------------------------------------------------------------------------

    @cached_property
    def begin(self) -> Any:
        """When the first action starts."""
        return plain(self.rows.start.min()) if len(self.rows.start) else 0

    @cached_property
    def finish(self) -> Any:
        """When the last action ends."""
        return plain(self.rows.end.max()) if len(self.rows.start) else 0

    @cached_property
    def _places(self) -> tuple[Places, PlainActions, np.ndarray, np.ndarray]:
        """What is done where; all computing parts, with their rows; and of each row, the first of its parts."""
        rows, computes = self.rows, self.rows.parts.kind < SENDS
        parts, row = rows.parts.where(computes), rows.row[computes]
        if self.num_stages * int(parts.microbatch.max(initial=0)) > 4 * len(row):  # numbers out of all proportion
            parts = parts._replace(microbatch=np.unique(parts.microbatch, return_inverse=True)[1])
        places = Places(parts, self.num_stages, 1 + int(parts.microbatch.max(initial=0)))
        return places, parts, row, np.append(0, np.cumsum(computes))[np.append(rows.first, len(computes))]

    @cached_property
    def _last_messages(self) -> tuple[np.ndarray, np.ndarray]:
        """Those of all rows; some at a time, which takes less memory."""
        every = np.arange(len(self.rows.rank))
        some = [self._last_messages_to(every[at : at + 65536]) for at in range(0, max(1, len(every)), 65536)]
        makers, arrivals = map(np.concatenate, zip(*some, strict=True))
        return makers, arrivals

    def _last_messages_to(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[chosen] The row of another rank whose result came last of all that a row needed, or -1; and when it came."""
        rows, (places, every, row, first) = self.rows, self._places
        journeys = np.array([*(self.journeys or [0] * self.num_stages), 0])  # the last: from the stage itself
        makers, arrivals = np.full(len(chosen), -1), rows.end[chosen].astype(np.result_type(rows.end, journeys))
        for half in (0, 1):  # of a pair
            has = np.flatnonzero(first[chosen + 1] - first[chosen] > half)
            parts = every.where(first[chosen[has]] + half)
            for needs, crossed in ((places.own(parts), np.full(len(has), -1)), (places.across(parts), parts.boundary)):
                sent = np.flatnonzero((needs >= 0) & (rows.rank[row[needs]] != rows.rank[chosen[has]]))
                needing, making = has[sent], row[needs[sent]]
                arrival = rows.end[making] + journeys[crossed[sent]]
                later = (makers[needing] < 0) | (arrival > arrivals[needing])
                makers[needing[later]], arrivals[needing[later]] = making[later], arrival[later]
        return makers, arrivals

    def gaps(self, *, shortest: float = 0) -> list[Gap]:
        """Every gap longer than `shortest`, rank by rank, with its reason."""
        free = self._free
        idle = np.flatnonzero(self.rows.start - free > shortest)
        sends = np.flatnonzero(self.rows.is_send)
        held = sends[self.rows.end[sends] - np.maximum(self.rows.start, free)[sends] > shortest]
        gaps = [*zip(idle.tolist(), self._waits(idle), strict=True)]
        if len(held):
            gaps = sorted([*gaps, *zip(held.tolist(), self._held(held), strict=True)], key=itemgetter(0))  # stable
        found, last = [gap for _, gap in gaps], [row for row, _ in gaps]
        for rank, (low, high) in reversed([*enumerate(pairwise(self.bounds))]):
            done = plain(self.rows.end[low:high].max()) if high > low else self.begin
            if self.finish - done > shortest:
                gap = Gap(rank, done, self.finish, f"rank {rank} has done all its work")
                found.insert(bisect_left(last, high), gap)
        return found

    @cached_property
    def _free(self) -> np.ndarray:
        """[rows] When the rank has done all before it."""
        free = self.rows.end.copy()
        for low, high in pairwise(self.bounds):
            free[low:high][:1] = self.begin
            free[low + 1 : high] = np.maximum.accumulate(self.rows.end[low:high])[:-1]
        return free

    def _waits(self, rows: np.ndarray) -> Iterator[Gap]:
        """The gaps before these rows."""
        makers, arrivals = self._last_messages_to(rows)
        start = self._free[rows]
        waits = (makers >= 0) & (arrivals > start)
        travels = arrivals > self.rows.end[makers]
        actions = iter(self._actions(makers[waits]))
        columns = self.rows.rank[rows], start, self.rows.start[rows], waits, travels, self.rows.rank[makers]
        for action, *column in zip(self._actions(rows), *(each.tolist() for each in columns), strict=True):
            rank, low, high, waiting, travelling, source = column
            if waiting:
                producer = next(actions)
                reason = f"rank {rank} waits for {producer} from rank {source}" + " and its journey" * travelling
                yield Gap(rank, low, high, reason, action, producer, source)
            else:  # nothing was missing: on a real machine the time went into starting the action
                yield Gap(rank, low, high, f"rank {rank} is getting ready for {action}", action)

    def _held(self, rows: np.ndarray) -> Iterator[Gap]:
        """The gaps in which a rank is held by these blocking sends."""
        columns = self.rows.rank[rows], np.maximum(self.rows.start, self._free)[rows], self.rows.end[rows]
        for action, rank, low, high in zip(self._actions(rows), *(each.tolist() for each in columns), strict=True):
            sent = f"{action.stage}{action.kind[-1]}{action.microbatch}"
            yield Gap(rank, low, high, f"rank {rank} is held by its blocking send of what {sent} made")

    def _actions(self, rows: np.ndarray) -> tuple[Action, ...]:
        return actions_of(chosen(self.rows.codes, rows))

    def critical_path(self) -> list[Span]:
        """The chain of actions, each waiting for the one before, that ends last. Its gaps are messages on their way."""
        if not len(self.rows.rank):
            return []
        rows, before, (makers, arrivals) = self.rows, self._before, self._last_messages
        row = int(np.flatnonzero(rows.end == rows.end.max())[0])  # of several, that of the first rank
        chain: dict[int, None] = {}
        while row >= 0 and row not in chain:  # a damaged timeline may run in circles
            chain[row] = None
            previous, maker = before.item(row), makers.item(row)
            free = rows.end.item(previous) if previous >= 0 else self.begin
            row = maker if maker >= 0 and (previous < 0 or arrivals.item(row) > free) else previous
        path = np.array([*reversed(chain)])
        streams = (COMM if send else COMPUTE for send in rows.is_send[path].tolist())
        columns = rows.rank[path].tolist(), streams, self._actions(path)
        return [*map(Span, *columns, rows.start[path].tolist(), rows.end[path].tolist())]

    @cached_property
    def _before(self) -> np.ndarray:
        """[rows] What each follows on its own rank: the one before; but a send follows the action that it sends for."""
        rows, number = self.rows, np.arange(len(self.rows.rank))
        made = np.maximum.accumulate(np.where(rows.is_send, -1, number))
        begins = np.searchsorted(rows.rank, rows.rank)
        before = np.where(rows.is_send, made, number - 1)
        return np.where(before >= begins, before, -1)


def _columns(spans: Sequence[Span]) -> Columns:
    rank, _, actions, start, end = zip(*spans, strict=True) if spans else ((),) * 5
    return Columns.of_spans(np.array(rank, dtype=int), codes_of(actions), np.array(start), np.array(end))
