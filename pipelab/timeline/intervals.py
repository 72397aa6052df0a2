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
