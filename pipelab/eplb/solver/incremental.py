"""Incremental: the previous placement, changed in few slots, as every changed slot needs an expert's weights sent.

1. Replicas go from the experts that need them least to those that need them most, one slot each: the new replica goes
   where the old one leaves the most room.
2. With the moves that are left, the busiest GPU swaps slots, each with the GPU with which both come out the lightest.

Groups stay on their nodes.
"""

from __future__ import annotations

import numpy as np

from .packing import GAIN, Packing, least
from .swaps import rule_out_doubles

_CLOSE = 1.005  # not worth a move: the busiest GPU's load / what is inevitable


def incremental(packing: Packing, parts: int, moves: int) -> None:
    """Change at most `moves` slots of each layer so that its busiest GPU has less to do; rows that gain nothing stay.

    Rows that are parts of one layer stand side by side, and share its moves if they are above its busiest part's mean.
    """
    before = packing.rows(np.arange(len(packing.slots)))
    mean = packing.load.sum(axis=1) / packing.slots.shape[1]
    goal = _CLOSE * np.repeat(mean.reshape(-1, parts).max(axis=1), parts)
    above = packing.highest > goal
    sharing = np.repeat(above.reshape(-1, parts).sum(axis=1), parts)
    left = np.where(above, moves // np.maximum(sharing, 1), 0)
    _move_replicas(packing, left)
    _swap_busiest(packing, left, goal)
    (worse,) = np.nonzero(packing.highest >= before.highest)
    packing.put(worse, before.rows(worse))


def _move_replicas(packing: Packing, left: np.ndarray) -> None:
    """Step 1. left [rows]: the moves that each row still has, counted down here."""
    (rows,) = np.nonzero(left > 0)
    gpus, room = packing.slots.shape[1:]
    while len(rows):
        some, every = packing.rows(rows), np.arange(len(rows))
        load, count = some.load, some.count
        needs = np.where(count < gpus, load / count, -1)
        gets = needs.argmax(axis=1)
        without = np.where(count > 1, load / np.maximum(count - 1, 1), np.inf)
        gives = without.argmin(axis=1)
        slot_load = some.slot_load
        free = some.gpu_load[:, :, None] - slot_load  # what each GPU carries without this slot
        free[some.slots != gives[:, None, None]] = np.inf
        free[(some.slots == gets[:, None, None]).any(axis=2)] = np.inf
        best, lowest = least(free)
        helps = np.isfinite(lowest) & (needs[every, gets] > without[every, gives] * (1 + GAIN))
        rows, gets, gives, best = rows[helps], gets[helps], gives[helps], best[helps]
        packing.slots[(rows, *np.divmod(best, room))] = gets
        packing.count[rows, gets] += 1
        packing.count[rows, gives] -= 1
        left[rows] -= 1
        rows = rows[left[rows] > 0]


def _swap_busiest(packing: Packing, left: np.ndarray, goal: np.ndarray) -> None:
    """Step 2. A swap takes two moves."""
    (rows,) = np.nonzero(left > 1)
    room = packing.slots.shape[2]
    while len(rows):
        some, every = packing.rows(rows), np.arange(len(rows))
        slots, slot_load = some.slots, some.slot_load
        load = slot_load.sum(axis=2)
        busiest = load.argmax(axis=1)
        highest = load[every, busiest]
        mine, mine_load = slots[every, busiest], slot_load[every, busiest]
        # [rows, gpus, slots there, slots here]
        change = mine_load[:, None, None, :] - slot_load[:, :, :, None]
        after = np.maximum(highest[:, None, None, None] - change, load[:, :, None, None] + change)
        rule_out_doubles(after, slots, mine[:, None, :])
        best, lowest = least(after)
        helps = (lowest < highest * (1 - GAIN)) & (highest > goal[rows])
        rows, best, busiest = rows[helps], best[helps], busiest[helps]
        there, here = np.divmod(best, room)
        one, other = (rows, busiest, here), (rows, *np.divmod(there, room))
        packing.slots[one], packing.slots[other] = packing.slots[other], packing.slots[one]
        left[rows] -= 2
        rows = rows[left[rows] > 1]
