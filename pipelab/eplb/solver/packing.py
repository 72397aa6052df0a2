"""Packing: replicas of experts in the slots of GPUs, in many independent rows; and how layers fall into rows.

Under the global policy a row is a layer. Under the hierarchical one it is what one node holds of a layer: once the
groups are given to nodes, every node is a problem of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..sizes import Sizes

GAIN = 1e-6  # of a load: to gain less is rounding


def take(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """values[r, index[r, i]] for all r and i: np.take_along_axis for two axes, several times faster."""
    return values.ravel()[index + values.shape[1] * np.arange(len(values))[:, None]]


def least(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The smallest value in each row, whatever its shape: (its place in the flattened row, the value)."""
    flat = values.reshape(len(values), -1)
    place = flat.argmin(axis=1)
    return place, flat[np.arange(len(flat)), place]


@dataclass
class Packing:
    """Replicas in slots."""

    load: np.ndarray  # float64 [rows, experts]
    count: np.ndarray  # [rows, experts]: replicas of each expert, which share its load equally
    slots: np.ndarray  # [rows, gpus, slots]: the expert in each slot

    @property
    def flat(self) -> np.ndarray:
        """slots as [rows, replicas], a view."""
        rows, gpus, slots = self.slots.shape
        return self.slots.reshape(rows, gpus * slots)

    @property
    def slot_load(self) -> np.ndarray:
        """[rows, gpus, slots]"""
        return take(self.load / self.count, self.flat).reshape(self.slots.shape)

    @property
    def gpu_load(self) -> np.ndarray:
        """[rows, gpus]"""
        return self.slot_load.sum(axis=2)

    @property
    def highest(self) -> np.ndarray:
        """[rows]: the load of the busiest GPU."""
        return self.gpu_load.max(axis=1)

    @property
    def doubled(self) -> np.ndarray:
        """bool [rows]: does any GPU hold two replicas of an expert?"""
        inside = np.sort(self.slots, axis=2)
        return (inside[:, :, 1:] == inside[:, :, :-1]).any(axis=(1, 2))

    def rows(self, chosen: np.ndarray) -> Packing:
        """A copy of some rows."""
        return Packing(self.load[chosen], self.count[chosen], self.slots[chosen])

    def put(self, chosen: np.ndarray, other: Packing) -> None:
        """Replace some rows by another's."""
        self.load[chosen], self.count[chosen], self.slots[chosen] = other.load, other.count, other.slots


@dataclass(frozen=True)
class Layout:
    """Which experts each part of a layer has."""

    sizes: Sizes
    packed: np.ndarray | None = None  # [layers, groups]: those of node 0, then of node 1, ...; None: all in one part

    @cached_property
    def members(self) -> np.ndarray | None:
        """[layers, experts]: the experts in their parts' order."""
        if self.packed is None:
            return None
        size = self.sizes.experts // self.sizes.groups
        return (self.packed[:, :, None] * size + np.arange(size)).reshape(-1, self.sizes.experts)

    def split(self, load: np.ndarray) -> np.ndarray:
        """Per-expert values [layers, experts] as [rows, experts of a part]."""
        chosen = load if self.members is None else take(load, self.members)
        return np.ascontiguousarray(chosen).reshape(-1, self.sizes.experts // self.sizes.parts)

    def local(self, physical_to_logical: np.ndarray) -> np.ndarray:
        """The reverse of join: [layers, replicas], experts by their numbers within their parts."""
        if self.members is None:
            return physical_to_logical
        number = np.argsort(self.members, axis=1) % (self.sizes.experts // self.sizes.parts)
        return take(number, physical_to_logical)

    def join(self, slots: np.ndarray) -> np.ndarray:
        """Slots of the parts, with the parts' own numbers of experts, as physical_to_logical [layers, replicas]."""
        flat = slots.reshape(-1, self.sizes.replicas // self.sizes.parts)
        if self.members is not None:
            flat = take(self.members.reshape(-1, self.sizes.experts // self.sizes.parts), flat)
        return flat.reshape(-1, self.sizes.replicas)


def counts(expert: np.ndarray, experts: int) -> np.ndarray:
    """How often each row names each expert: [rows, experts]."""
    rows = len(expert)
    flat = expert + experts * np.arange(rows)[:, None]
    return np.bincount(flat.ravel(), minlength=rows * experts).reshape(rows, experts)


def maps(
    physical_to_logical: np.ndarray, experts: int, rank: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """DeepSeek's three maps from the first of them: physical_to_logical, logical_to_physical and replica_count.

    rank: each slot's rank among its expert's replicas. Default: in the order of slots.
    """
    layers, replicas = physical_to_logical.shape
    count = counts(physical_to_logical, experts)
    if rank is None:
        expert, slot = np.divmod(np.sort(physical_to_logical * replicas + np.arange(replicas), axis=1), replicas)
        begins = np.cumsum(count, axis=1) - count
        rank = np.empty_like(physical_to_logical)
        np.put_along_axis(rank, slot, np.arange(replicas) - take(begins, expert), axis=1)
    most = int(count.max(initial=1))
    slots = np.full(layers * experts * most, -1, dtype=np.int64)
    row = experts * np.arange(layers)[:, None]
    slots[(physical_to_logical + row) * most + rank.reshape(layers, replicas)] = np.arange(replicas)
    return physical_to_logical, slots.reshape(layers, experts, most), count
