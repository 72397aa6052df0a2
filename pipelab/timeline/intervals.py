"""Intervals: unions of [start, end), as sorted disjoint pairs. Exact for whole numbers and fractions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Intervals = list[tuple[Any, Any]]


def union(starts: np.ndarray, ends: np.ndarray) -> Intervals:
    """The union of intervals that may overlap."""
    merged: Intervals = []
    for start, end in sorted(zip(starts.tolist(), ends.tolist(), strict=True)):
        if end <= start:
            continue
        if merged and start <= merged[-1][1]:
            if end > merged[-1][1]:
                merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def total(intervals: Sequence[tuple[Any, Any]]) -> Any:
    """Their summed length."""
    return sum(end - start for start, end in intervals)


def complement(intervals: Intervals, low: Any, high: Any) -> Intervals:
    """What of [low, high) the intervals leave free."""
    edges = [low, *(edge for pair in intervals for edge in pair), high]
    return [(start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if end > start]


def within(intervals: Intervals, low: Any, high: Any) -> Any:
    """The length of the part of the intervals that lies in [low, high)."""
    return sum(max(0, min(end, high) - max(start, low)) for start, end in intervals)


class Cover:
    """A union of intervals [start, end), which must be ordered by start, as disjoint ones.

    >>> compute, communicate = Cover([0, 2, 9], [5, 4, 10]), Cover([4], [12])
    >>> compute.total, communicate.total, communicate.shared(compute)
    (6, 8, 2)
    """

    def __init__(self, start: np.ndarray | list[int], end: np.ndarray | list[int]) -> None:
        start, reach = np.asarray(start, dtype=np.int64), np.maximum.accumulate(np.asarray(end, dtype=np.int64))
        begins = np.flatnonzero(np.append(True, start[1:] > reach[:-1])) if len(start) else np.arange(0)
        self.start = start[begins]
        self.end = reach[np.append(begins[1:], len(start)) - 1] if len(start) else reach
        self._until = np.append(0, np.cumsum(self.end - self.start))  # covered before each start, and in all

    @property
    def total(self) -> int:
        """Their length together."""
        return int(self._until[-1])

    def shared(self, other: Cover) -> int:
        """The length of what both cover."""
        return int((other._before(self.end) - other._before(self.start)).sum()) if other.total else 0

    def minus(self, other: Cover) -> Cover:
        """What this one covers and the other does not."""
        edges = np.unique(np.concatenate([self.start, self.end, other.start, other.end]))
        kept = np.flatnonzero(self._holds(edges[:-1]) & ~other._holds(edges[:-1]))
        return Cover(edges[kept], edges[kept + 1])

    def _holds(self, time: np.ndarray) -> np.ndarray:
        last = np.searchsorted(self.start, time, side="right") - 1
        return (last >= 0) & (time < np.append(self.end, 0)[last])

    def _before(self, time: np.ndarray) -> np.ndarray:
        """The length of what is covered before each time."""
        last = np.searchsorted(self.start, time, side="right") - 1  # to start; -1 for none
        return np.where(last < 0, 0, self._until[last] + np.minimum(time, self.end[last]) - self.start[last])
