"""Contiguous: experts in their own order, as they stand before anybody has balanced them."""

from __future__ import annotations

from typing import Any

import numpy as np

from .plan import Plan
from .sizes import Sizes, as_load


def contiguous(load: Any, gpus: int, replicas: int | None = None, nodes: int = 1, groups: int = 1) -> Plan:
    """The plan with equal consecutive blocks of experts on the GPUs, as nearly equal as their numbers let them be.

    replicas   slots in all. None: as few as there must be. Slots beyond a GPU's block hold second copies of experts of
               that block, which takes nothing off any GPU: its load is the same with them and without.

    The sizes, and the ValueErrors for those that do not fit together, are those of :func:`rebalance`.

    >>> plan = contiguous([[90, 10, 20, 60]], gpus=2, replicas=6)
    >>> plan.physical_to_logical.tolist(), plan.gpu_load.tolist()
    ([[0, 1, 0, 2, 3, 2]], [[100.0, 80.0]])
    """
    load = as_load(load)
    layers, experts = load.shape
    if replicas is None:
        replicas = -(-experts // gpus) * gpus if isinstance(gpus, int) and gpus > 0 else experts
    sizes = Sizes(layers, experts, replicas, gpus, nodes, groups)
    if experts < gpus:
        raise ValueError(f"each of {gpus} GPUs needs an expert of its own; there are {experts} experts")
    row = np.concatenate([np.resize(block, sizes.slots) for block in np.array_split(np.arange(experts), gpus)])
    return Plan.from_map(np.tile(row, (layers, 1)), load, gpus, nodes, groups, policy="contiguous")
