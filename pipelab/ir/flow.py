"""Flow: what each action waits for, and the one event loop that check and simulate share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .action import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, FORWARD, Action
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


class Walk(NamedTuple):
    """The result of :func:`walk`, one entry per action, rank after rank."""

    start: list
    end: list
    stuck: list[int]  # actions at which a rank stopped for good, because what they need never ends


def walk(
    bounds: Sequence[int],
    needs: Sequence[int],
    also_needs: Sequence[int],
    durations: Sequence,
    delays: Sequence,
    also_delays: Sequence,
    holds: Sequence,
) -> Walk:
    """Run every rank's program as early as possible: an event simulation in one pass, each action visited once.

    Actions are numbered rank after rank; rank r has those from ``bounds[r]`` to ``bounds[r + 1]``. Action i starts when
    its rank is free and ``needs[i]`` and ``also_needs[i]`` (the numbers of other actions; -1 for none) have ended
    ``delays[i]`` and ``also_delays[i]`` ago; it lasts ``durations[i]``, and its rank is free
    ``holds[i]`` later still.
    Any numbers that add and compare will do. A rank that can't go on is reported in `stuck`; it never hangs.
    """
    count = bounds[-1]
    start: list = [0] * count
    end: list = [None] * count
    waiting: dict[int, list[int]] = {}  # action -> ranks that wait for it
    position = [*bounds[:-1]]
    free: list = [0] * len(position)
    ready = [*range(len(position))]
    while ready:
        rank = ready.pop()
        i, stop, now = position[rank], bounds[rank + 1], free[rank]
        while i < stop:
            if (need := needs[i]) >= 0:
                if (arrived := end[need]) is None:
                    waiting.setdefault(need, []).append(rank)
                    break
                if (arrived := arrived + delays[i]) > now:
                    now = arrived
            if (need := also_needs[i]) >= 0:
                if (arrived := end[need]) is None:
                    waiting.setdefault(need, []).append(rank)
                    break
                if (arrived := arrived + also_delays[i]) > now:
                    now = arrived
            start[i] = now
            end[i] = now = now + durations[i]
            now += holds[i]
            if i in waiting:
                ready += waiting.pop(i)
            i += 1
        position[rank], free[rank] = i, now
    return Walk(start, end, [i for i, stop in zip(position, bounds[1:], strict=True) if i < stop])


class Flow(NamedTuple):
    """A schedule's compute actions in one row, rank after rank, with what each one needs from others."""

    actions: list[tuple[int, Action]]  # (rank, action)
    bounds: list[int]
    needs: list[list[int]]  # numbers of actions on other ranks that this one waits for
    producer: dict[Key, int]

    @classmethod
    def of(cls, schedule: Schedule) -> Flow:
        actions: list[tuple[int, Action]] = []
        bounds = [0]
        producer: dict[Key, int] = {}
        for rank, program in enumerate(schedule.programs):
            for action in program:
                for part in action.computes:
                    producer.setdefault(part[:3], len(actions))
                if action.computes:
                    actions.append((rank, action))
            bounds.append(len(actions))
        needs = [
            [
                i
                for part in action.computes
                for keys in alternatives(part, schedule.num_stages)
                for i in [next((producer[key] for key in keys if key in producer), -1)]
                if i >= 0 and actions[i][0] != rank
            ]
            for rank, action in actions
        ]
        return cls(actions, bounds, needs, producer)

    def walk(self) -> Walk:
        """Unit costs, no communication time: the order in which everything can happen."""
        nothing = [0] * len(self.actions)
        first = [need[0] if need else -1 for need in self.needs]
        second = [need[1] if len(need) > 1 else -1 for need in self.needs]
        return walk(self.bounds, first, second, [1] * len(nothing), nothing, nothing, nothing)
