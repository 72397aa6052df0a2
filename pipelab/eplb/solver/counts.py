"""Counts: other numbers of replicas to try where the greedy's cannot be packed well.

The greedy makes the heaviest replica as light as it can. So it spends all replicas on heavy experts, and may leave each
at two thirds of a GPU's share: too much for two on a GPU, while one leaves a third of the GPU empty.
"""

from __future__ import annotations

import numpy as np

from ..sizes import scaled
from .greedy import further_replicas, replicate, spread
from .packing import Packing, counts, take

_CEILINGS = 24  # tried
_SPAN = 1.15  # the highest of them / the lowest that could do
_GIVE, _GET = 4, 4  # experts that may give up a replica, and that may get it, in neighbouring counts


def below_ceilings(packing: Packing, most: int) -> np.ndarray:
    """Counts, at most `most`, that keep all replicas below each of several ceilings: [rows, ceilings, experts].

    Experts above a ceiling get just as many replicas as bring them below it. The replicas left over go to the other
    experts, whose halves fit beside the large replicas.
    """
    load = spread(scaled(packing.load))
    rows, experts = load.shape
    replicas = packing.flat.shape[1]
    extra = replicas - experts
    count = replicate(load, replicas, most)[2]
    lowest = (load / count).max(axis=1)
    highest = _SPAN * np.maximum(lowest, load.sum(axis=1) / packing.slots.shape[1])
    ceilings = np.linspace(lowest, highest, _CEILINGS, axis=1)[:, :, None]
    load = load[:, None, :]
    tried = np.clip(np.ceil(load / ceilings - 1e-6), 1, most).astype(np.intp)
    left = replicas - tried.sum(axis=2)
    below = np.where(load > ceilings, np.float32(0), load).reshape(-1, experts)
    further, _ = further_replicas(below, extra, most)
    given = np.where(np.arange(extra) < left.reshape(-1, 1), further, experts)  # expert number `experts`: to nobody
    tried += counts(given, experts + 1)[:, :experts].reshape(tried.shape)
    wrong = (tried.sum(axis=2) != replicas) | (tried.max(axis=2) > most)
    return np.where(wrong[:, :, None], count[:, None, :], tried)


def neighbours(packing: Packing, most: int) -> np.ndarray:
    """Counts that differ in one replica: [rows, neighbours, experts].

    An expert on the busiest GPU gets it, from one of those whose replicas stay the lightest without it.
    """
    rows = np.arange(len(packing.load))
    load, count = packing.load, packing.count
    busiest = packing.slots[rows, packing.gpu_load.argmax(axis=1)]
    share = take(load / count, busiest)
    gets = take(busiest, np.argsort(-share, axis=1, kind="stable")[:, :_GET])
    without = np.where(count > 1, load / np.maximum(count - 1, 1), np.inf)
    gives = np.argsort(without, axis=1, kind="stable")[:, :_GIVE]
    pairs = np.broadcast_arrays(gets[:, :, None], gives[:, None, :])
    gets, gives = (each.reshape(len(rows), -1) for each in pairs)
    tried = np.repeat(count[:, None, :], gets.shape[1], axis=1)
    row, choice = np.indices(gets.shape)
    possible = (gets != gives) & (tried[row, choice, gives] > 1) & (tried[row, choice, gets] < most)
    tried[row, choice, gets] += possible
    tried[row, choice, gives] -= possible
    return tried
