"""Greedy: the published algorithm for all layers at once. `reference.py` has it as loops; both give the same plans.

What the loops do one by one is done here in one sweep:

- replicate: giving the next replica to the largest load / replicas, again and again, takes the largest of all quotients
  load / 1, load / 2, ... (D'Hondt's method of apportioning seats). One sort finds them.
- pack: the next item goes to the lightest pack, in all layers at once. With two slots in a pack no loop is needed: the
  heaviest half opens the packs, and the rest fills them from the lightest on.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..sizes import Sizes, scaled
from .packing import Layout, Packing, counts, take

_LOW = np.uint64(0xFFFFFFFF)


def greedy(load: np.ndarray, sizes: Sizes) -> tuple[Layout, Packing, np.ndarray]:
    """Place every layer's experts. load: float64 [layers, experts].

    Returns which experts each part of a layer has, the replicas on its GPUs, and for each slot the rank of its replica
    among those of its expert, in the order in which they were made: [rows, slots of the part].
    """
    layout = Layout(sizes, pack_groups(scaled(load), sizes))
    return layout, *place(load, layout)


def place(load: np.ndarray, layout: Layout) -> tuple[Packing, np.ndarray]:
    """The same for a layout that says which experts each part has."""
    work = spread(layout.split(scaled(load)))
    sizes = layout.sizes
    expert, rank, count = replicate(work, sizes.replicas // sizes.parts)
    placed = pack(take(work / count.astype(np.float32), expert), sizes.gpus // sizes.parts)
    slots = take(expert, placed).reshape(-1, sizes.gpus // sizes.parts, sizes.slots)
    return Packing(layout.split(load), count, slots), take(rank, placed)


def pack_groups(load: np.ndarray, sizes: Sizes) -> np.ndarray | None:
    """Groups packed into nodes: [layers, groups], those of node 0 first. None where groups play no part."""
    if not sizes.hierarchical or sizes.groups == 1:
        return None
    of_group = load.reshape(-1, sizes.groups, sizes.experts // sizes.groups)
    return pack(of_group.cumsum(axis=2)[:, :, -1], sizes.nodes)  # sum() would round in another order


def spread(load: np.ndarray) -> np.ndarray:
    """The same, with ones in rows of zeros: experts without any load all count the same, so that replicas spread."""
    load[load.max(axis=1, initial=0.0) == 0] = 1
    return load


def replicate(load: np.ndarray, replicas: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hand out replicas of each row's experts, at most `most` of one. load: float32 [rows, experts].

    Returns (expert [rows, replicas], rank [rows, replicas], count [rows, experts]): each replica's expert, its rank
    among that expert's replicas, and how many replicas each expert has. Every expert's first replica comes first, then
    the others in the order in which they were made.
    """
    rows, experts = load.shape
    expert = np.empty((rows, replicas), dtype=np.intp)
    rank = np.zeros((rows, replicas), dtype=np.intp)
    expert[:, :experts] = np.arange(experts)
    expert[:, experts:], rank[:, experts:] = further_replicas(load, replicas - experts, most)
    return expert, rank, counts(expert, experts)


def further_replicas(load: np.ndarray, extra: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The replicas that each row's experts get beyond their first, in order: (expert, rank), both [rows, extra]."""
    rows, experts = load.shape
    if not extra or not rows:
        return (np.zeros((rows, extra), dtype=np.intp),) * 2
    i, k = _candidates(experts, extra, most or extra + 1)
    largest = order(load)[:, : min(experts, extra)]
    quotient = take(load, largest)[:, i] / k.astype(np.float32)
    low = largest[:, i] * (extra + 1) + k  # among equal quotients the first expert wins
    keys = np.sort(_keys(quotient, low), axis=1)[:, :extra]
    return np.divmod((keys & _LOW).astype(np.intp), extra + 1)


@lru_cache(maxsize=64)
def _candidates(experts: int, extra: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """(i, k): which quotients can be among the `extra` largest: the k-th of the i-th largest load, (i + 1) k <= extra.

    For larger loads' quotients with the same or a smaller k are all at least as large. The k-th makes replica k + 1.
    """
    pairs = [(i, k) for i in range(min(experts, extra)) for k in range(1, min(extra // (i + 1), most - 1) + 1)]
    i, k = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
    return i, k


def pack(weight: np.ndarray, packs: int) -> np.ndarray:
    """Fill packs of equal size in each row: heaviest item first, each into the lightest pack that has room.

    weight: float32 [rows, items]. Returns [rows, items]: the items of pack 0 in order of placing, then of pack 1, ...
    """
    rows, items = weight.shape
    room = items // packs
    if room == 1 or not rows:  # nothing to choose
        return np.broadcast_to(np.arange(items), weight.shape)
    heaviest = order(weight)
    if packs == 1:
        return heaviest
    falling = take(weight, heaviest)
    opened = bool((falling[:, packs - 1] > 0).all())  # the first items open one pack each, as each weighs something
    if room == 2 and opened:
        lightest = order(falling[:, :packs], descending=False)
        partner = np.empty_like(lightest)
        np.put_along_axis(partner, lightest, np.arange(packs, items)[None], axis=1)
        step = np.stack([np.broadcast_to(np.arange(packs), partner.shape), partner], axis=2).reshape(rows, items)
    else:
        chosen = _fill(np.ascontiguousarray(falling.T), packs, room, packs if opened else 0)
        step = np.ascontiguousarray(chosen.T) * items + np.arange(items)
        step.sort(axis=1)
        step %= items
    return take(heaviest, step)


def _fill(weight: np.ndarray, packs: int, room: int, first: int) -> np.ndarray:
    """The pack of every item: [items, rows] like weight, heaviest first. The `first` items are in packs 0, 1, ..."""
    items, rows = weight.shape
    chosen = np.empty((items, rows), dtype=np.intp)
    chosen[:first] = np.arange(first)[:, None]
    load = np.zeros((rows, packs), dtype=np.float32)
    load[:, :first] = weight[:first].T
    flat_load, base = load.reshape(-1), packs * np.arange(rows)
    held = np.full(rows * packs, int(first > 0))
    closing = np.zeros(room, dtype=np.float32)
    closing[-1] = np.inf  # on top of a pack's last item: a full pack is never the lightest
    for pick, item in zip(chosen[first:], weight[first:], strict=True):
        load.argmin(axis=1, out=pick)
        flat = pick + base
        had = held[flat]
        held[flat] = had + 1
        flat_load[flat] += item + closing[had]
    return chosen


def order(values: np.ndarray, descending: bool = True) -> np.ndarray:
    """A stable argsort of each row of float32 values, which must not be negative."""
    keys = _keys(values, np.arange(values.shape[1]), descending)
    keys.sort(axis=1)
    return (keys & _LOW).astype(np.intp)


def _keys(values: np.ndarray, low: np.ndarray, descending: bool = True) -> np.ndarray:
    """A uint64 for each value, a float32 of 0 or more, that sorts as the value does, and among equals as `low` does.

    Sorting such keys is several times faster than an argsort of the values.
    """
    bits = np.ascontiguousarray(values).view(np.uint32)
    high = (np.uint32(0x7FFFFFFF) - bits if descending else bits).astype(np.uint64)
    return (high << np.uint64(32)) | low.astype(np.uint64)
