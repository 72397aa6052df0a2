"""Flow: what each action waits for, and the one event loop that check and simulate share."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from .action import (
    BACKWARD,
    BACKWARD_INPUT,
    BACKWARD_WEIGHT,
    FORWARD,
    RECV_B,
    RECV_F,
    SEND_B,
    SEND_F,
    Action,
)
from .codes import KIND_B, KIND_F, KIND_I, KIND_W, KINDS, SECOND, SENDS, PlainActions, actions_of, coded, unpack
from .schedule import Schedule

Key = tuple[str, int, int]  # kind, stage, micro-batch


def alternatives(part: Action, num_stages: int) -> list[tuple[Key, ...]]:
    """What a plain compute action needs: a list of needs, each met by any one of its alternatives.

    A forward needs the previous stage's forward. A backward (B or I) needs its own forward and the next stage's B or I.
    W needs its own I.
    """
    kind, s, m, _ = part
    if kind == FORWARD:
        return [((FORWARD, s - 1, m),)] if s > 0 else []
    if kind == BACKWARD_WEIGHT:
        return [((BACKWARD_INPUT, s, m),)]
    needs: list[tuple[Key, ...]] = [((FORWARD, s, m),)]
    if s + 1 < num_stages:
        needs.append(((BACKWARD, s + 1, m), (BACKWARD_INPUT, s + 1, m)))
    return needs


class Places:
    """Which row of a table of compute actions does what: where it is done first, if it is done twice.

    `row` is [F B I W, stages, micro-batches]; -1: nowhere.
    """

    def __init__(self, parts: PlainActions, num_stages: int, num_microbatches: int) -> None:
        row = np.full(4 * num_stages * num_microbatches, -1, dtype=np.int32)
        index = np.ravel_multi_index(parts[:3], (4, num_stages, num_microbatches))
        row[index[::-1]] = np.arange(len(index) - 1, -1, -1)  # the last one that is written stays: the first row
        self.row = row.reshape(4, num_stages, num_microbatches)

    def count(self, parts: PlainActions) -> np.ndarray:
        """[F B I W, stages, micro-batches] How often each is done."""
        found = self.row >= 0
        if np.count_nonzero(found) == len(parts.kind):
            return found.view(np.int8)
        index = np.ravel_multi_index(parts[:3], self.row.shape)
        return np.bincount(index, minlength=self.row.size).reshape(self.row.shape)

    def own(self, parts: PlainActions) -> np.ndarray:
        """[parts] What each needs of its own stage: a backward its forward, W its I; -1: nothing, or it is nowhere."""
        kind = np.array([KIND_F, KIND_F, KIND_F, KIND_I])[parts.kind]
        return np.where(parts.kind == KIND_F, -1, self.row[kind, parts.stage, parts.microbatch])

    def across(self, parts: PlainActions) -> np.ndarray:
        """[parts] What each needs of another stage: F the previous one's, B and I the next one's B or I."""
        gradient = np.where(self.row[KIND_B] >= 0, self.row[KIND_B], self.row[KIND_I])
        nothing = np.full_like(gradient[:1], -1)
        before, after = np.concatenate([nothing, self.row[KIND_F, :-1]]), np.concatenate([gradient[1:], nothing])
        needed = np.where(
            parts.kind == KIND_F, before[parts.stage, parts.microbatch], after[parts.stage, parts.microbatch]
        )
        return np.where(parts.kind == KIND_W, -1, needed)


class Flow(NamedTuple):
    """A schedule's compute actions in one row, rank after rank, with what each one needs of others.

    An overlapped pair is two rows. Its forward's does nothing but wait; its backward's lasts as long as the pair, and
    ends when both have ended.
    """

    codes: np.ndarray
    parts: PlainActions
    rank: np.ndarray
    bounds: list[int]  # rank r has the rows from bounds[r] to bounds[r + 1]
    places: Places
    own: np.ndarray  # the row that does what this one needs of its own stage; -1 for none
    across: np.ndarray  # the same, of the previous or next stage

    @classmethod
    def of(cls, schedule: Schedule) -> Flow:
        """Of a schedule with codes, all of whose numbers are in range."""
        codes, bounds, rank = schedule.coded.codes, [*schedule.coded.bounds], schedule.coded.rank
        parts = unpack(codes)
        if (parts.kind >= SENDS).any():
            kept = parts.kind < SENDS
            codes, rank, parts = codes[kept], rank[kept], parts.where(kept)
            bounds = [0, *np.cumsum(np.bincount(rank, minlength=schedule.num_ranks)).tolist()]
        places = Places(parts, schedule.num_stages, schedule.num_microbatches)
        return cls(codes, parts, rank, bounds, places, places.own(parts), places.across(parts))

    def messages(self) -> tuple[np.ndarray, np.ndarray]:
        """[messages] The row that needs each message, and the row that makes what it carries."""
        needer = np.flatnonzero((self.across >= 0) & (self.rank[self.across] != self.rank))
        return needer, self.across[needer]

    def receives(self, needer: np.ndarray) -> np.ndarray:
        """The codes of the receives of what these rows need."""
        return self._codes(needer, RECV_F, RECV_B)

    def sends(self, maker: np.ndarray) -> np.ndarray:
        """The codes of the sends of what these rows make."""
        return self._codes(maker, SEND_F, SEND_B)

    def _codes(self, rows: np.ndarray, forward: str, backward: str) -> np.ndarray:
        kind, stage, microbatch, _ = self.parts.where(rows)
        return coded(np.where(kind == KIND_F, KINDS.index(forward), KINDS.index(backward)), stage, microbatch)

    def parts_at(self, rows: np.ndarray) -> tuple[Action, ...]:
        """The plain actions of these rows."""
        return actions_of(self.codes[rows] & ~SECOND)

    def action(self, row: int) -> Action:
        """The action that a row is, or is half of."""
        low = row - self.parts.second[row]
        high = low + 1 + self.parts.second[low + 1 : low + 2].any()
        return actions_of(self.codes[low:high])[0]

    @property
    def needs(self) -> np.ndarray:
        """[rows] The row of another rank whose end this one waits for; -1 for none. (Of a misplaced one, the first.)"""
        there = ((row >= 0) & (self.rank[row] != self.rank) for row in (self.across, self.own))
        return np.select([*there], [self.parts.last[row] for row in (self.across, self.own)], -1)


Go = Callable[[], None]


class Walk(NamedTuple):
    """The result of :func:`walk`."""

    end: list  # of every row; None: it never ends
    stuck: list[int]  # rows at which a rank stopped for good, because what they need never ends


def walk(
    bounds: Sequence[int], needs: np.ndarray, durations: Sequence, delays: Sequence = (), holds: Sequence = ()
) -> Walk:
    """Run every rank's program as early as possible: an event simulation in one pass, each row visited once.

    Rows are numbered rank after rank; rank r has those from ``bounds[r]`` to ``bounds[r + 1]``. Row i starts when its
    rank is free and row ``needs[i]`` (-1 for none) has ended ``delays[i]`` ago; it lasts ``durations[i]``, and its rank
    is free ``holds[i]`` later still. Without delays, messages take no time and hold nobody.
    Any numbers that add and compare will do. A rank that can't go on is reported in `stuck`; it never hangs.
    """
    end: list = [None] * bounds[-1] + [0]  # needs[i] = -1 finds the last: nothing to wait for
    waiting: dict[int, list[Go]] = {}
    ready: list[Go] = []
    columns = (durations, delays, holds) if delays else (durations,)
    for low, high in pairwise(bounds):
        numbers = array("q", needs[low:high].astype(np.int64).tobytes())  # a list would take five times the memory
        rows = zip(range(low, high), numbers, *(column[low:high] for column in columns), strict=True)
        me: list[Go] = []
        me.append((_with_journeys if delays else _at_once)(me, rows, end, waiting, ready).__next__)
        ready += me
    while ready:
        ready.pop()()
    end.pop()
    unfinished = ((low, high) for low, high in pairwise(bounds) if None in end[low:high][-1:])
    return Walk(end, [next(row for row in range(low, high) if end[row] is None) for low, high in unfinished])


def _at_once(
    me: list[Go], rows: Iterator[tuple], end: list, waiting: dict[int, list[Go]], ready: list[Go]
) -> Iterator[None]:
    """One rank: called, it does its rows until it must wait for one, and is ready again when that ends."""
    now: Any = 0
    (go,) = me
    for i, need, duration in rows:
        while (arrived := end[need]) is None:
            waiting.setdefault(need, []).append(go)
            yield
        if arrived > now:
            now = arrived
        end[i] = now = now + duration
        if i in waiting:
            ready += waiting.pop(i)
    yield


def _with_journeys(
    me: list[Go], rows: Iterator[tuple], end: list, waiting: dict[int, list[Go]], ready: list[Go]
) -> Iterator[None]:
    """The same with messages that take time, and may hold the rank."""
    now: Any = 0
    (go,) = me
    for i, need, duration, delay, hold in rows:
        while (arrived := end[need]) is None:
            waiting.setdefault(need, []).append(go)
            yield
        if arrived + delay > now:
            now = arrived + delay
        end[i] = now + duration
        now = end[i] + hold
        if i in waiting:
            ready += waiting.pop(i)
    yield
