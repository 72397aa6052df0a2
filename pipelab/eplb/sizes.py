"""Sizes: what a placement must fit into; and loads as they come in. Both are checked here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..amounts import at_least


@dataclass(frozen=True)
class Sizes:
    """How many layers, logical experts, physical experts (replicas), GPUs, nodes and groups of experts there are.

    Every GPU has replicas / gpus slots, and every slot holds one replica: an expert's only one, or one of several.
    Sizes that do not fit together raise a ValueError that names the nearest that do.
    """

    layers: int
    experts: int
    replicas: int
    gpus: int
    nodes: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        for name in ("experts", "replicas", "gpus", "nodes", "groups"):
            object.__setattr__(self, name, at_least(1, getattr(self, name), name))
        if self.gpus % self.nodes:
            right = _either(*_multiples(self.gpus, self.nodes))
            raise ValueError(f"gpus must be a multiple of nodes ({self.nodes}): {right}; got {self.gpus}")
        if self.replicas < self.experts:
            least = -(-self.experts // self.gpus) * self.gpus
            raise ValueError(
                f"replicas must be {least} or more: each of {self.experts} experts needs a replica, and each of "
                f"{self.gpus} GPUs has the same number of slots; got {self.replicas}"
            )
        if self.replicas % self.gpus:
            right = _either(*(each for each in _multiples(self.replicas, self.gpus) if each >= self.experts))
            raise ValueError(f"replicas must be a multiple of gpus ({self.gpus}): {right}; got {self.replicas}")
        if self.hierarchical and self.experts % self.groups:
            divisors = [each for each in range(1, self.experts + 1) if self.experts % each == 0]
            below = max(each for each in divisors if each < self.groups)
            above = [each for each in divisors if each > self.groups][:1]
            raise ValueError(
                f"experts ({self.experts}) must divide into equal groups: groups {_either(below, *above)}; "
                f"got {self.groups}"
            )

    @classmethod
    def published(cls, shape: tuple[int, ...], replicas: int, groups: int, nodes: int, gpus: int) -> Sizes:
        """As the published code reads them: where nodes do not divide groups, both count as 1."""
        if at_least(1, groups, "groups") % at_least(1, nodes, "nodes"):
            groups = nodes = 1
        layers, experts = shape
        return cls(layers, experts, replicas, gpus, nodes, groups)

    @property
    def hierarchical(self) -> bool:
        """Is every group of experts kept on one node? Else experts go to any GPU (the global policy)."""
        return self.groups % self.nodes == 0

    @property
    def slots(self) -> int:
        """Physical experts on each GPU."""
        return self.replicas // self.gpus

    @property
    def parts(self) -> int:
        """Independent problems in a layer: one per node, or 1 under the global policy."""
        return self.nodes if self.hierarchical else 1


def _multiples(value: int, of: int) -> tuple[int, ...]:
    """The nearest multiples on both sides; only those of 1 or more."""
    return tuple(each for each in (value // of * of, (value // of + 1) * of) if each >= 1)


def _either(*values: int) -> str:
    return " or ".join(map(str, values))


def as_array(values: Any) -> np.ndarray:
    """Values as a numpy array, without copying where possible; torch tensors of any type and device too."""
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        values = values.detach().cpu()
        if values.is_floating_point():  # numpy does not know bfloat16
            values = values.double()
        values = values.numpy()
    return np.asarray(values)


def as_load(load: Any, *, name: str = "load") -> np.ndarray:
    """Loads [layers, experts] as a new float64 array. ValueError for any that is negative, infinite or not a number."""
    try:
        given = as_array(load)
        if given.dtype.kind not in "biufO":
            raise TypeError
        array = given.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be numbers, [layers, experts]; got {type(load).__name__}") from None
    if array.ndim != 2:
        one = "; one layer is load[None, :]" if array.ndim == 1 else ""
        raise ValueError(f"{name} must have two axes, [layers, experts]{one}; got shape {array.shape}")
    if array.shape[1] == 0:
        raise ValueError(f"{name} has no experts; its shape [layers, experts] is {array.shape}")
    wrong = ~((array >= 0) & np.isfinite(array))
    if wrong.any():
        layer, expert = np.argwhere(wrong)[0]
        raise ValueError(
            f"{name} must be finite and not negative; layer {layer}, expert {expert} has {array[layer, expert]} "
            f"({wrong.sum()} such in all)"
        )
    with np.errstate(over="ignore"):
        endless = np.isinf(array.sum(axis=1))
    if endless.any():
        raise ValueError(f"{name} of layer {endless.argmax()} adds up to more than a float can hold; scale it down")
    return array + 0.0  # -0.0 becomes 0.0


def as_layers(load: Any, *, name: str = "load") -> np.ndarray:
    """The same, where one layer's loads may also come as [experts]."""
    return as_load(as_array(load)[None] if np.ndim(load) == 1 else load, name=name)


def scaled(load: np.ndarray) -> np.ndarray:
    """Loads as float32, in which the published code computes: another rounding would break ties differently.

    Each row is scaled to at most 2, so that none overflows, by a power of two, which changes no digit.
    """
    most = load.max(axis=1, keepdims=True, initial=0.0)
    return np.ldexp(load, 1 - np.frexp(most)[1]).astype(np.float32)
