"""Swaps: two GPUs exchange a slot, and both come out lighter than the heavier one was; in many rows at once.

Nothing here changes an expert's number of replicas, or puts a second replica of an expert on a GPU.
"""

from __future__ import annotations

import numpy as np

from .packing import GAIN, Packing, least, take

_ROUNDS = 24
_STALLED = 4  # it gives up after so many rounds in a row without a swap


def even_out(packing: Packing, goal: np.ndarray) -> None:
    """Swap between busy and idle GPUs until no GPU of a row has more than its goal [rows], or no swap helps.

    In every round, each GPU of the busier half meets one of the others: the busiest meets the idlest first, then the
    second idlest, and so on. Each pair exchanges the two slots that leave its loads most alike. So no GPU's load ever
    exceeds the highest of before.
    """
    slot_load = packing.slot_load
    rows, gpus = np.arange(len(slot_load)), slot_load.shape[1]
    half, stalled = gpus // 2, 0
    if not half:
        return
    for round_ in range(_ROUNDS):
        load = slot_load[rows].sum(axis=2)
        above = load.max(axis=1) > goal[rows]
        rows, load = rows[above], load[above]
        if not len(rows) or stalled == _STALLED:
            return
        by_load = np.argsort(load, axis=1, kind="stable")  # stable: else machines differ in how they sort equals
        idle = by_load[:, (np.arange(half) + round_) % (gpus - half)]
        swapped = _swap_best(packing.slots, slot_load, rows, by_load[:, : -half - 1 : -1], idle)
        stalled = 0 if swapped else stalled + 1


def _swap_best(slots: np.ndarray, load: np.ndarray, rows: np.ndarray, busy: np.ndarray, idle: np.ndarray) -> bool:
    """Swap once in each pair of GPUs, busy[r, p] and idle[r, p] of rows[r], if that helps. Did any pair swap?

    slots and load, both [rows, gpus, slots], are changed together.
    """
    across = rows[:, None]
    mine, theirs = slots[across, busy], slots[across, idle]
    heavy, light = load[across, busy], load[across, idle]
    half_gap = (heavy.sum(axis=2) - light.sum(axis=2)) / 2
    # A swap moves the difference of two slots: half the gap at best. It helps if it is off by less than that.
    off = np.abs((heavy - half_gap[:, :, None])[:, :, :, None] - light[:, :, None, :])
    rule_out_doubles(off, mine, theirs)
    off = off.reshape(*half_gap.shape, -1)
    best = off.argmin(axis=2)
    helps = np.take_along_axis(off, best[:, :, None], axis=2)[:, :, 0] < half_gap * (1 - GAIN)
    row, pair = np.nonzero(helps)
    gives, gets = np.divmod(best[row, pair], slots.shape[2])
    here, there = (rows[row], busy[row, pair], gives), (rows[row], idle[row, pair], gets)
    for of_slots in (slots, load):
        of_slots[here], of_slots[there] = of_slots[there], of_slots[here]
    return bool(helps.any())


def rule_out_doubles(score: np.ndarray, one: np.ndarray, other: np.ndarray) -> None:
    """Make infinite the score [..., i, j] of each exchange that brings a GPU an expert which it already holds.

    one [..., i] and other [..., j]: the experts in the slots of the two GPUs.
    """
    slots = one.shape[-1], other.shape[-1]
    pair, both = np.divmod(np.flatnonzero(one[..., :, None] == other[..., None, :]), slots[0] * slots[1])
    i, j = np.divmod(both, slots[1])
    of_pair = score.reshape(-1, *slots)
    of_pair[pair, i] = np.inf
    of_pair[pair, :, j] = np.inf


def part_doubles(packing: Packing) -> None:
    """Exchange second replicas of an expert on a GPU for slots of other GPUs, so that the two stay the lightest.

    This is always possible where no expert has more replicas than there are GPUs; other rows may keep doubles.
    """
    (rows,) = np.nonzero(packing.doubled)
    while len(rows):
        found = _part_one(packing, rows)
        stuck = rows[~found]
        stuck = stuck[packing.count[stuck].max(axis=1, initial=0) <= packing.slots.shape[1]]
        packing.slots[stuck] = _dealt(packing.rows(stuck))
        rows = rows[found]
        rows = rows[packing.rows(rows).doubled]


def _part_one(packing: Packing, rows: np.ndarray) -> np.ndarray:
    """Exchange once in each of the rows; returns where that was possible."""
    slots, load = packing.slots[rows], packing.rows(rows).slot_load
    n, _, room = slots.shape
    every = np.arange(n)
    by_expert = np.argsort(slots, axis=2, kind="stable")
    in_order = np.take_along_axis(slots, by_expert, axis=2)
    first = (in_order[:, :, 1:] == in_order[:, :, :-1]).reshape(n, -1).argmax(axis=1)  # the first double of each row
    gpu, place = np.divmod(first, room - 1)
    place = by_expert[every, gpu, place + 1]
    expert, held = slots[every, gpu, place], slots[every, gpu]
    gain = load - load[every, gpu, place][:, None, None]  # of this GPU, for each slot that it may take in exchange
    of_gpu = load.sum(axis=2)
    after = np.maximum(of_gpu[every, gpu][:, None, None] + gain, of_gpu[:, :, None] - gain)
    after[(slots == expert[:, None, None]).any(axis=2)] = np.inf
    shared = np.flatnonzero(slots[:, :, :, None] == held[:, None, None, :]) // room
    after.reshape(-1)[shared] = np.inf
    best, lowest = least(after)
    found = np.isfinite(lowest)
    here = (rows[found], gpu[found], place[found])
    there = (rows[found], *np.divmod(best[found], room))
    packing.slots[here], packing.slots[there] = packing.slots[there], packing.slots[here]
    return found


def _dealt(packing: Packing) -> np.ndarray:
    """Slots dealt like cards: heaviest replicas first, one to each GPU in turn, an expert's replicas in a row."""
    rows, gpus, room = packing.slots.shape
    heaviest = np.argsort(-packing.load / packing.count, axis=1, kind="stable")
    count = take(packing.count, heaviest)
    return np.repeat(heaviest.ravel(), count.ravel()).reshape(rows, room, gpus).swapaxes(1, 2)
