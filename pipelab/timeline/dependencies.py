"""Dependencies: why a rank is idle in a gap, and which chain of actions makes a timeline as long as it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..amounts import at_least
from ..ir import Action
from ..ir.flow import Key, alternatives
from .span import COMM, COMPUTE, Span, is_send

Doer = tuple[int, Action]  # an action and the rank that does it


@dataclass(frozen=True)
class Gap:
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
    spans : iterable of Span
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

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> Dependencies(simulate(gpipe(2, 1)).spans, 2).gaps()[1].reason
    'rank 1 waits for 0F0 from rank 0'
    """

    def __init__(self, spans: Iterable[Span], num_ranks: int, *, journeys: Sequence[Any] = ()) -> None:
        self.journeys = journeys
        self.extents: dict[Doer, tuple[Any, Any]] = {}
        for rank, _, action, start, end in spans:
            low, high = self.extents.get((rank, action), (start, end))
            self.extents[rank, action] = (min(low, start), max(high, end))
        self.producers: dict[Key, Doer] = {
            part[:3]: (rank, action) for rank, action in self.extents for part in action.computes
        }
        self.num_stages = 1 + max((key[1] for key in self.producers), default=0)
        self.programs: list[list[Action]] = [[] for _ in range(at_least(0, num_ranks, "num_ranks"))]
        for (rank, action), _ in sorted(self.extents.items(), key=lambda item: item[1]):
            self.programs[rank].append(action)

    @cached_property
    def begin(self) -> Any:
        """When the first action starts."""
        return min((start for start, _ in self.extents.values()), default=0)

    @cached_property
    def finish(self) -> Any:
        """When the last action ends."""
        return max((end for _, end in self.extents.values()), default=0)

    def needs(self, action: Action) -> list[Doer]:
        """Everything that an action needed, on any rank; what both parts of a pair needed comes once."""
        return list(dict.fromkeys(need for need, _ in self._needs(action)))

    def _needs(self, action: Action) -> list[tuple[Doer, int]]:
        """The same, each with the boundary between stages that it crossed, or -1."""
        return [
            (self.producers[key], -1 if key[1] == part.stage else min(key[1], part.stage))
            for part in action.computes
            for keys in alternatives(part, self.num_stages)
            for key in keys
            if key in self.producers
        ]

    def last_message(self, rank: int, action: Action) -> tuple[Doer, Any] | None:
        """What arrived last of all that an action needed from other ranks, and when."""
        arrivals = [
            (need, self.extents[need][1] + (self.journeys[boundary] if self.journeys else 0))
            for need, boundary in self._needs(action)
            if need[0] != rank
        ]
        return max(arrivals, key=lambda arrival: arrival[1], default=None)

    def gaps(self, *, shortest: float = 0) -> list[Gap]:
        """Every gap longer than `shortest`, rank by rank, with its reason."""
        found = []
        for rank, program in enumerate(self.programs):
            now = self.begin
            for action in program:
                start, end = self.extents[rank, action]
                if start - now > shortest:
                    found.append(self._gap(rank, now, start, action))
                if is_send(action) and end - max(start, now) > shortest:
                    sent = f"{action.stage}{action.kind[-1]}{action.microbatch}"
                    reason = f"rank {rank} is held by its blocking send of what {sent} made"
                    found.append(Gap(rank, max(start, now), end, reason))
                now = max(now, end)
            if self.finish - now > shortest:
                found.append(Gap(rank, now, self.finish, f"rank {rank} has done all its work"))
        return found

    def _gap(self, rank: int, start: Any, end: Any, action: Action) -> Gap:
        last = self.last_message(rank, action)
        if last is None or last[1] <= start:
            # Nothing was missing: on a real machine the time went into starting the action.
            return Gap(rank, start, end, f"rank {rank} is getting ready for {action}", action)
        (source, producer), arrival = last
        reason = f"rank {rank} waits for {producer} from rank {source}"
        if arrival > self.extents[source, producer][1]:
            reason += " and its journey"
        return Gap(rank, start, end, reason, action, producer, source)

    def critical_path(self) -> list[Span]:
        """The chain of actions, each waiting for the one before, that ends last. Its gaps are messages on their way."""
        if not self.extents:
            return []
        before = self._before()
        step: Doer | None = max(self.extents, key=lambda doer: (self.extents[doer][1], -doer[0]))
        chain: dict[Doer, None] = {}
        while step is not None and step not in chain:  # a damaged timeline may run in circles
            chain[step] = None
            previous, last = before.get(step), self.last_message(*step)
            free = self.extents[previous][1] if previous else self.begin
            step = last[0] if last and (previous is None or last[1] > free) else previous
        return [
            Span(rank, COMM if is_send(action) else COMPUTE, action, *self.extents[rank, action])
            for rank, action in reversed(chain)
        ]

    def _before(self) -> dict[Doer, Doer]:
        """What each action follows on its own rank: the one before; but a send follows the action that it sends for."""
        before: dict[Doer, Doer] = {}
        for rank, program in enumerate(self.programs):
            previous: Action | None = None  # of sends that start together, the last one to end: it holds the rank
            made: Action | None = None
            for action in program:
                if follows := made if is_send(action) else previous:
                    before[rank, action] = rank, follows
                previous, made = action, made if is_send(action) else action
        return before
