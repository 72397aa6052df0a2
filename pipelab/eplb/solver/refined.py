"""Refined: the greedy's placement, improved; with two replicas of an expert on one GPU only where they must be.

1. No expert gets more replicas than there are GPUs to hold them, as more would only share a GPU.
2. Second replicas on a GPU move elsewhere.
3. GPUs swap slots until they carry (nearly) the same load.
4. Where that leaves a gap, as with heavy tails, other counts are tried (`counts.py`), and the best packing is kept.
5. Groups change nodes where that makes the busiest node lighter (`groups.py`).
"""

from __future__ import annotations

import numpy as np

from ..sizes import Sizes, scaled
from .bound import nodes_bound
from .counts import below_ceilings, neighbours
from .exhaustive import best_of_all, few_enough
from .greedy import greedy, pack, place, replicate, spread
from .groups import regroup
from .packing import GAIN, Layout, Packing, take
from .swaps import even_out, part_doubles

_CLOSE = 1.002  # good enough: the busiest GPU's load / its floor
_POOR = 1.01  # above this, other counts are tried
_KEPT = 3  # of the counts tried, so many are swapped to their best
_STEPS = 8  # at most, from counts to neighbouring counts


def refined(load: np.ndarray, sizes: Sizes) -> tuple[Layout, Packing]:
    """Place every layer's experts. load: float64 [layers, experts]."""
    layout, packing, _ = greedy(load, sizes)
    improve(packing, sizes.parts)
    if layout.packed is None or sizes.parts == 1:
        return layout, packing
    of_group = load.reshape(len(load), sizes.groups, -1).sum(axis=2)
    packed = regroup(of_group, layout.packed, sizes.nodes, nodes_bound(load, sizes))
    (changed,) = np.nonzero((packed != layout.packed).any(axis=1))
    if not len(changed):
        return layout, packing
    other, _ = place(load[changed], Layout(sizes, packed[changed]))
    improve(other, sizes.parts)
    parts = sizes.parts
    better = _busiest(other, parts) < _busiest(packing, parts)[changed]
    packed = np.where(np.isin(np.arange(len(load)), changed[better])[:, None], packed, layout.packed)
    packing.put(_rows(changed[better], parts), other.rows(_rows(np.flatnonzero(better), parts)))
    return Layout(sizes, packed), packing


def _busiest(packing: Packing, parts: int) -> np.ndarray:
    """[layers]: the highest load of any GPU in all parts of a layer."""
    return packing.highest.reshape(-1, parts).max(axis=1)


def _rows(layers: np.ndarray, parts: int) -> np.ndarray:
    """The rows of these layers."""
    return (layers[:, None] * parts + np.arange(parts)).ravel()


def improve(packing: Packing, parts: int) -> None:
    """Steps 1 to 4. Rows that are parts of one layer stand side by side; only its busiest row matters."""
    rows, gpus, room = packing.slots.shape
    if not rows:
        return
    replicas, experts = gpus * room, packing.load.shape[1]
    most = gpus * -(-room // experts)  # replicas of one expert; several on a GPU only where there are too few experts
    work = spread(scaled(packing.load))
    count = replicate(work, replicas, most)[2]
    before = packing.highest
    (over,) = np.nonzero(packing.count.max(axis=1) > most)
    if len(over):
        packing.put(over, Packing(packing.load[over], count[over], _packed(work[over], count[over], gpus)))
    part_doubles(packing)
    floor = np.maximum(packing.load.sum(axis=1) / gpus, (packing.load / count).max(axis=1))
    floor = np.repeat(floor.reshape(-1, parts).max(axis=1), parts)
    close = floor * _CLOSE
    even_out(packing, np.where(packing.highest > before, np.minimum(close, before), close))
    (poor,) = np.nonzero(packing.highest > floor * _POOR)
    if len(poor):
        some = packing.rows(poor)
        if few_enough(experts, gpus, room):
            best_of_all(some)
        else:
            _change_counts(some, floor[poor], most)
        packing.put(poor, some)


def _change_counts(packing: Packing, floor: np.ndarray, most: int) -> None:
    """Step 4: first counts of quite another kind, then, step by step while that helps, neighbouring ones."""
    _try_counts(packing, below_ceilings(packing, most), floor * _CLOSE)
    (rows,) = np.nonzero(packing.highest > floor * _POOR)
    for _ in range(_STEPS):
        if not len(rows):
            return
        some = packing.rows(rows)
        better = _try_counts(some, neighbours(some, most), floor[rows] * _CLOSE)
        packing.put(rows, some)
        rows = rows[better]
        rows = rows[packing.rows(rows).highest > floor[rows] * _POOR]


def _try_counts(packing: Packing, tried: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Replace each row by the best of the counts tried [rows, choices, experts] that is better; returns those rows.

    All are packed as the greedy does; the best of them are swapped towards the goal [rows].
    """
    rows, choices, experts = tried.shape
    kept = min(_KEPT, choices)
    load, count = np.repeat(packing.load, choices, axis=0), tried.reshape(-1, experts)
    others = Packing(load, count, _packed(spread(scaled(load)), count, packing.slots.shape[1]))
    best = np.argsort(others.highest.reshape(rows, choices), axis=1, kind="stable")[:, :kept]
    others = others.rows((best + choices * np.arange(rows)[:, None]).ravel())
    part_doubles(others)
    even_out(others, np.repeat(goal, kept))
    score = _score(others).reshape(rows, kept)
    (better,) = np.nonzero(score.min(axis=1, initial=np.inf) < _score(packing) * (1 - GAIN))
    packing.put(better, others.rows(better * kept + score[better].argmin(axis=1)))
    return better


def _score(packing: Packing) -> np.ndarray:
    """[rows]: the highest load; infinite where a GPU holds two replicas of an expert without need."""
    if packing.slots.shape[2] > packing.load.shape[1]:
        return packing.highest
    return np.where(packing.doubled, np.inf, packing.highest)


def _packed(load: np.ndarray, count: np.ndarray, gpus: int) -> np.ndarray:
    """So many replicas of each expert, count [rows, experts], packed as the greedy does: [rows, gpus, slots]."""
    rows, experts = load.shape
    replicas = np.repeat(np.tile(np.arange(experts), rows), count.ravel()).reshape(rows, -1)
    share = take(load / count.astype(np.float32), replicas)
    return take(replicas, pack(share, gpus)).reshape(rows, gpus, -1)
