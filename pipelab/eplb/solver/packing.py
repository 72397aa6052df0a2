"""Packing: replicas of experts in the slots of GPUs, in many independent rows; and how layers fall into rows.

Under the global policy a row is a layer. Under the hierarchical one it is what one node holds of a layer: once the
groups are given to nodes, every node is a problem of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..sizes import Sizes


def take(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """values[r, index[r, i]] for all r and i: np.take_along_axis for two axes, several times faster."""
    return values.ravel()[index + values.shape[1] * np.arange(len(values))[:, None]]


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
        return (self.packed[:, :, None] * size + np.arange(size)).reshape(len(self.packed), -1)

    def split(self, load: np.ndarray) -> np.ndarray:
        """Per-expert values [layers, experts] as [rows, experts of a part]."""
        members = self.members
        chosen = load if members is None else take(load, members)
        return np.ascontiguousarray(chosen).reshape(len(load) * self.sizes.parts, -1)

    def local(self, physical_to_logical: np.ndarray) -> np.ndarray:
        """The reverse of join: [layers, replicas], experts by their numbers within their parts."""
        members = self.members
        if members is not None:
            number = np.argsort(members, axis=1) % (self.sizes.experts // self.sizes.parts)
            return take(number, physical_to_logical)
        return physical_to_logical

    def join(self, slots: np.ndarray) -> np.ndarray:
        """Slots of the parts, with the parts' own numbers of experts, as physical_to_logical [layers, replicas]."""
        members = self.members
        flat = slots.reshape(len(slots), -1)
        if members is not None:
            flat = take(members.reshape(len(slots), -1), flat)
        return flat.reshape(-1, self.sizes.replicas)


def ranks(physical_to_logical: np.ndarray, replica_count: np.ndarray) -> np.ndarray:
    """Each slot's rank among its expert's replicas, in the slots' order: [layers, replicas]."""
    replicas = physical_to_logical.shape[1]
    keys = np.sort(physical_to_logical * replicas + np.arange(replicas), axis=1)
    expert, slot = np.divmod(keys, replicas)
    begins = np.cumsum(replica_count, axis=1) - replica_count
    found = np.empty_like(physical_to_logical)
    np.put_along_axis(found, slot, np.arange(replicas) - take(begins, expert), axis=1)
    return found


def counts(physical_to_logical: np.ndarray, experts: int) -> np.ndarray:
    """Copies of each expert: [layers, experts]."""
    layers = len(physical_to_logical)
    flat = physical_to_logical + experts * np.arange(layers)[:, None]
    return np.bincount(flat.ravel(), minlength=layers * experts).reshape(layers, experts)


def logical_to_physical(physical_to_logical: np.ndarray, rank: np.ndarray, replica_count: np.ndarray) -> np.ndarray:
    """The slots of each expert's replicas by rank, -1 after the last: [layers, experts, most replicas]."""
    layers, replicas = physical_to_logical.shape
    experts, most = replica_count.shape[1], int(replica_count.max(initial=1))
    found = np.full(layers * experts * most, -1, dtype=np.int64)
    row = experts * np.arange(layers)[:, None]
    found[(physical_to_logical + row) * most + rank] = np.arange(replicas)
    return found.reshape(layers, experts, most)
