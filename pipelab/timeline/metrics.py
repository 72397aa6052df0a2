"""Metrics: every figure that follows from a timeline's spans, each with its denominator."""

from __future__ import annotations

import math
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np

from ..amounts import plain
from ..ir import Action
from .dependencies import Dependencies
from .intervals import Intervals
from .span import COMPUTE, is_send


class Metrics:
    """The figures of a :class:`~pipelab.timeline.Timeline`, which has these attributes. Times are in its unit.

    A rank is *busy* while one of its actions runs on either stream, and *idle* otherwise. A blocking send (a SEND
    action on the comm stream) is not work: it counts as idle.
    """

    num_ranks: int
    actions: tuple[Action, ...]
    rank: np.ndarray
    stream: np.ndarray
    start: np.ndarray
    end: np.ndarray
    free_at: str
    dependencies: Dependencies

    # -- time --------------------------------------------------------------------------------------------------------

    @cached_property
    def begin(self) -> Any:
        return plain(self.start.min()) if len(self.start) else 0

    @cached_property
    def finish(self) -> Any:
        return plain(self.end.max()) if len(self.start) else 0

    @property
    def makespan(self) -> Any:
        """From the first start to the last end, over all ranks."""
        return self.finish - self.begin

    def _when(self, mask: np.ndarray) -> list[Intervals]:
        """Per rank: when one of the masked spans runs."""
        chosen = (mask & (self.rank == rank) for rank in range(self.num_ranks))
        return [Intervals(self.start[mine], self.end[mine]) for mine in chosen]

    @cached_property
    def _busy(self) -> list[Intervals]:
        return self._when(np.array([not is_send(action) for action in self.actions], dtype=bool))

    @cached_property
    def busy(self) -> tuple[Any, ...]:
        """Per rank: time in which an action runs."""
        return tuple(busy.total for busy in self._busy)

    @cached_property
    def idle(self) -> tuple[Any, ...]:
        """Per rank: makespan minus busy."""
        return tuple(self.makespan - busy for busy in self.busy)

    @property
    def bubble_fraction(self) -> Any:
        """Idle time of all ranks / (ranks · makespan), after GPipe (arXiv 1811.06965). 0 for an empty timeline."""
        return _ratio(sum(self.idle), self.num_ranks * self.makespan)

    @property
    def bubble_over_ideal(self) -> Any:
        """Idle time of all ranks / their busy time, the other convention in the literature: (P-1)/M for GPipe.

        It is Megatron-LM's (arXiv 2104.04473, section 2.2.1). 0 for an empty timeline; infinite where nothing but
        messages takes time.
        """
        return _ratio(sum(self.idle), sum(self.busy))

    @cached_property
    def exposed_communication(self) -> tuple[Any, ...]:
        """Per rank: time in which it communicates (or is held by a blocking send) and computes nothing."""
        computing = self.stream == COMPUTE
        if computing.all():
            return (0,) * self.num_ranks
        streams = self._when(np.ones_like(computing)), self._when(computing)
        return tuple(both.total - compute.total for both, compute in zip(*streams, strict=True))

    @cached_property
    def phases(self) -> tuple[tuple[Any, Any], ...]:
        """Per rank: when its steady phase begins and ends, the first backward's start and the last forward's end.

        Before it the rank warms up, and after it the rank drains. Where no forward follows a backward, it is empty.
        """
        found = []
        for rank in range(self.num_ranks):
            mine = [(part.kind, i) for i in np.flatnonzero(self.rank == rank) for part in self.actions[i].computes]
            begins = plain(min((self.start[i] for kind, i in mine if kind != "F"), default=self.finish))
            ends = plain(max((self.end[i] for kind, i in mine if kind == "F"), default=begins))
            found.append((begins, max(begins, ends)))
        return tuple(found)

    @cached_property
    def idle_by_phase(self) -> tuple[tuple[Any, Any, Any], ...]:
        """Per rank: idle time in warm-up, steady and drain; the three sum to `idle`."""
        split = []
        for rank, (steady, drain) in enumerate(self.phases):
            phases = ((self.begin, steady), (steady, drain), (drain, self.finish))
            split.append(tuple(high - low - self._busy[rank].within(low, high) for low, high in phases))
        return tuple(split)

    # -- memory ------------------------------------------------------------------------------------------------------

    @cached_property
    def _activations(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        trains = any(part.kind != "F" for action in self.actions for part in action.computes)
        freeing = ("B", self.free_at) if trains else ("F",)
        steps = []
        for rank, program in enumerate(self.dependencies.programs):
            changes: list[tuple[Any, int]] = []
            for action in program:
                start, end = self.dependencies.extents[rank, action]
                kinds = [part.kind for part in action.computes]
                changes += [(start, 1)] * kinds.count("F")
                changes += [(end, -1) for kind in kinds if kind in freeing]
            # A stable sort: at the same time, what an action frees goes before what the next one makes.
            changes.sort(key=itemgetter(0))
            counts = np.cumsum([change for _, change in changes], dtype=int)
            steps.append((np.array([time for time, _ in changes]), counts))
        return tuple(steps)

    def activations_over_time(self, rank: int) -> tuple[np.ndarray, np.ndarray]:
        """(times, counts): from times[i] on, the rank holds counts[i] activations, each of a stage and micro-batch."""
        return self._activations[rank]

    @cached_property
    def peak_activations(self) -> tuple[int, ...]:
        """Per rank: the most activations held at once, each from its F's start to its B's or W's end (see free_at).

        Without any backward, nothing is kept for one: each is held until its F's end.
        """
        return tuple(int(counts.max(initial=0)) for _, counts in self._activations)


def _ratio(part: Any, whole: Any) -> Any:
    return part / whole if whole else math.inf if part else 0.0
