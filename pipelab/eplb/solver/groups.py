"""Groups: which groups of experts share a node, so that the busiest node has as little load as possible.

This is packing again, but of few and large items, whose differences the GPUs of a node cannot even out.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from itertools import combinations
from math import factorial

import numpy as np

from .packing import GAIN, Packing, least
from .swaps import even_out

_CLOSE = 1.002  # good enough: the busiest node's load / its bound
_MOST = 20_000  # up to so many ways, all are tried


def regroup(load: np.ndarray, packed: np.ndarray, nodes: int, bound: np.ndarray) -> np.ndarray:
    """A better packing of groups into nodes: [layers, groups] like packed, those of node 0 first.

    load is float64 [layers, groups]; bound is [layers], what the busiest node has at least. Swaps of two groups come
    first. Where they leave a gap, all ways are tried if they are few. If not, the busiest node and one other share out
    their groups in the best of all ways, as long as that helps.
    """
    groups = load.shape[1]
    held = groups // nodes
    packing = Packing(load, np.ones_like(load), packed.reshape(-1, nodes, held).copy())
    even_out(packing, bound * _CLOSE)
    (poor,) = np.nonzero(packing.highest > bound * _CLOSE)
    if len(poor) and _ways(groups, nodes) <= _MOST:
        every = _every_way(groups, nodes)
        for layer in poor:
            packing.slots[layer] = every[load[layer][every].sum(axis=2).max(axis=1).argmin()]
    elif _ways(2 * held, 2) <= _MOST:
        _share_out(packing, poor)
    return packing.flat


def _share_out(packing: Packing, rows: np.ndarray) -> None:
    """Let the busiest node and one other share out their groups again, as long as that helps."""
    held = packing.slots.shape[2]
    halves = _every_way(2 * held, 2).reshape(-1, 2 * held)
    while len(rows):
        every, some = np.arange(len(rows)), packing.rows(rows)
        busiest, highest = some.gpu_load.argmax(axis=1), some.highest
        its = np.broadcast_to(some.slots[every, busiest][:, None], some.slots.shape)
        both = np.concatenate([its, some.slots], axis=2)
        weight = np.take_along_axis(some.load[:, None, :], both, axis=2)
        after = weight[:, :, halves].reshape(*both.shape[:2], len(halves), 2, held).sum(axis=4).max(axis=3)
        after[every, busiest] = np.inf  # it can't share with itself
        best, lowest = least(after)
        helps = lowest < highest * (1 - GAIN)
        other, half = np.divmod(best, len(halves))
        shared = np.take_along_axis(both[every, other], halves[half], axis=1)
        rows, busiest, other, shared = rows[helps], busiest[helps], other[helps], shared[helps]
        packing.slots[rows, busiest], packing.slots[rows, other] = shared[:, :held], shared[:, held:]


def _ways(groups: int, nodes: int) -> int:
    """The number of ways to deal groups to nodes, up to the order of nodes."""
    return factorial(groups) // (factorial(groups // nodes) ** nodes * factorial(nodes))


@lru_cache(maxsize=8)
def _every_way(groups: int, nodes: int) -> np.ndarray:
    """All of them: [ways, nodes, groups of a node]."""
    held = groups // nodes

    def deal(left: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        if not left:
            yield ()
            return
        for others in combinations(left[1:], held - 1):
            rest = tuple(group for group in left[1:] if group not in others)
            yield from ((left[0], *others, *more) for more in deal(rest))

    return np.array(list(deal(tuple(range(groups))))).reshape(-1, nodes, held)
