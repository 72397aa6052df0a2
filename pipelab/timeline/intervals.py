"""Intervals: unions of [start, end), as sorted pieces that do not touch. Exact for whole numbers and fractions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..amounts import plain


class Intervals:
    """The union of half-open intervals [start, end), which may overlap and come in any order.

    Parameters
    ----------
    start, end : arrays or sequences of numbers, [intervals]
        Where each interval starts and ends. One that ends before it starts, or right there, holds nothing.

    Attributes
    ----------
    start, end : arrays, [pieces]
        The union as pieces, in order, that do not touch.

    Examples
    --------
    >>> compute, communicate = Intervals([2, 0, 9], [4, 5, 10]), Intervals([4], [12])
    >>> list(compute), compute.total, communicate.shared(compute), list(communicate.minus(compute))
    ([(0, 5), (9, 10)], 6, 2, [(5, 9), (10, 12)])
    """

    def __init__(self, start: np.ndarray | Sequence[Any], end: np.ndarray | Sequence[Any]) -> None:
        start, end = np.asarray(start), np.asarray(end)
        kept = np.flatnonzero(end > start)
        if not len(kept):
            start = end = np.arange(0)  # whole numbers, beside which others keep their type
        kept = kept[np.argsort(start[kept], kind="stable")]
        start, reach = start[kept], np.maximum.accumulate(end[kept])
        first = np.append(True, start[1:] > reach[:-1])[: len(start)]  # of each piece
        self.start, self.end = start[first], reach[np.append(first[1:], True)[: len(start)]]

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        """The pieces, as pairs of Python's numbers."""
        return zip(self.start.tolist(), self.end.tolist(), strict=True)

    @property
    def total(self) -> Any:
        """Their length together."""
        return plain((self.end - self.start).sum())

    def within(self, low: Any, high: Any) -> Any:
        """The length of what lies in [low, high)."""
        return plain(np.maximum(0, np.minimum(self.end, high) - np.maximum(self.start, low)).sum())

    def shared(self, other: Intervals) -> Any:
        """The length of what lies in both."""
        return plain((other._before(self.end) - other._before(self.start)).sum()) if len(other.start) else 0

    def minus(self, other: Intervals) -> Intervals:
        """What lies in these and not in the other ones."""
        edges = np.unique(np.concatenate([self.start, self.end, other.start, other.end]))
        kept = np.flatnonzero(self._holds(edges[:-1]) & ~other._holds(edges[:-1]))
        return Intervals(edges[kept], edges[kept + 1])

    def _holds(self, time: np.ndarray) -> np.ndarray:
        last = np.searchsorted(self.start, time, side="right") - 1  # to start; -1 for none
        return (last >= 0) & (time < np.append(self.end, 0)[last])

    def _before(self, time: np.ndarray) -> np.ndarray:
        """The length of what lies before each time."""
        last = np.searchsorted(self.start, time, side="right") - 1
        return np.where(last < 0, 0, self._until[last] + np.minimum(time, self.end[last]) - self.start[last])

    @cached_property
    def _until(self) -> np.ndarray:
        """The length of all pieces before each one."""
        return np.append(0, np.cumsum(self.end - self.start)[:-1])
