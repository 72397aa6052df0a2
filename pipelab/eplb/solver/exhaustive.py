"""Exhaustive: every placement, for problems so small that all can be tried."""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations, combinations_with_replacement
from math import comb

import numpy as np

from .packing import Packing, counts

_MOST = 12_000  # placements, which take some milliseconds a row


def few_enough(experts: int, gpus: int, slots: int) -> bool:
    """Can all placements be tried? Those with two replicas of an expert on one GPU do not count."""
    kinds = comb(experts, slots)
    return 0 < kinds <= _MOST and comb(kinds + gpus - 1, gpus) <= _MOST


def best_of_all(packing: Packing) -> None:
    """Replace each row by the best placement that has no two replicas of an expert on one GPU."""
    experts = packing.load.shape[1]
    slots, count = _placements(experts, *packing.slots.shape[1:])
    for row, load in enumerate(packing.load):
        every = Packing(np.broadcast_to(load, count.shape), count, slots)
        best = every.highest.argmin()
        packing.slots[row], packing.count[row] = slots[best], count[best]


@lru_cache(maxsize=4)
def _placements(experts: int, gpus: int, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """All placements up to the order of GPUs: (slots [placements, gpus, slots], count [placements, experts])."""
    kinds = list(combinations(range(experts), slots))
    every = np.array(list(combinations_with_replacement(kinds, gpus))).reshape(-1, gpus, slots)
    count = counts(every.reshape(len(every), -1), experts)
    complete = count.min(axis=1) > 0
    return every[complete], count[complete]
