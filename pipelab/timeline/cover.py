"""Cover: the time that many intervals cover together; for whole numbers, and fast where there are a million."""

from __future__ import annotations

import numpy as np


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
