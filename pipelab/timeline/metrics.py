"""Metrics: every figure that follows from a timeline's spans, each with its denominator."""

from __future__ import annotations

import math
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from ..amounts import plain
from ..ir.codes import KIND_B, KIND_F, KIND_I, KIND_W, SENDS, unpack
from .dependencies import Dependencies
from .intervals import Intervals


class Metrics:
    """The figures of a :class:`~pipelab.timeline.Timeline`, which has these attributes. Times are in its unit.

    A rank is *busy* while one of its actions runs on either stream, and *idle* otherwise. A blocking send (a SEND
    action on the comm stream) is not work: it counts as idle.
    """

    num_ranks: int
    codes: np.ndarray
    rank: np.ndarray
    computing: np.ndarray
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

    @cached_property
    def _spans_of(self) -> list[Any]:
        """Per rank: its spans, as an index of the columns."""
        if (self.rank[1:] < self.rank[:-1]).any():
            return [np.flatnonzero(self.rank == rank) for rank in range(self.num_ranks)]
        bounds = np.searchsorted(self.rank, np.arange(self.num_ranks + 1)).tolist()
        return [slice(low, high) for low, high in pairwise(bounds)]

    def _when(self, chosen: np.ndarray) -> list[Intervals]:
        """Per rank: when one of the chosen spans runs."""
        everything = chosen.all()
        found = []
        for mine in self._spans_of:
            start, end = self.start[mine], self.end[mine]
            found.append(Intervals(start, end) if everything else Intervals(start[chosen[mine]], end[chosen[mine]]))
        return found

    @cached_property
    def _kinds(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[spans] Does it do a forward, a backward (B, I or W), nothing but a send?"""
        parts = unpack(self.codes)
        kind, pair = parts.kind[~parts.second], parts.first[~parts.second]
        send = kind >= SENDS
        return kind == KIND_F, pair | ~send & (kind != KIND_F), send

    @cached_property
    def _busy(self) -> list[Intervals]:
        return self._when(~self._kinds[2])

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
        if self.computing.all():
            return (0,) * self.num_ranks
        streams = self._when(np.ones_like(self.computing)), self._when(self.computing)
        return tuple(both.total - compute.total for both, compute in zip(*streams, strict=True))

    @cached_property
    def phases(self) -> tuple[tuple[Any, Any], ...]:
        """Per rank: when its steady phase begins and ends, the first backward's start and the last forward's end.

        Before it the rank warms up, and after it the rank drains. Where no forward follows a backward, it is empty.
        """
        forward, backward, _ = self._kinds
        found = []
        for mine in self._spans_of:
            starts, ends = self.start[mine][backward[mine]], self.end[mine][forward[mine]]
            begins = plain(starts.min()) if len(starts) else self.finish
            found.append((begins, max(begins, plain(ends.max())) if len(ends) else begins))
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
        rows = self.dependencies.rows
        kind, row = rows.parts.kind, rows.row
        makes = np.bincount(row[kind == KIND_F], minlength=len(rows.rank))
        trains = ((kind > KIND_F) & (kind < SENDS)).any()
        freeing = (kind == KIND_B) | (kind == (KIND_W if self.free_at == "W" else KIND_I)) if trains else kind == KIND_F
        frees = np.bincount(row[freeing], minlength=len(rows.rank))
        # In each program's order. At the same time, what an action frees goes before what the next one makes.
        times, changes = np.stack([rows.start, rows.end], 1).ravel(), np.stack([makes, -frees], 1).ravel()
        steps = []
        for low, high in pairwise(self.dependencies.bounds):
            change = changes[2 * low : 2 * high]
            time, change = times[2 * low : 2 * high][change != 0], change[change != 0]
            if (time[1:] < time[:-1]).any():
                order = np.argsort(time, kind="stable")
                time, change = time[order], change[order]
            steps.append((time, np.cumsum(change, dtype=int)))
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
