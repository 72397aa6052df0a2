"""Saved tensors: how many bytes autograd keeps for the backward, counted while it keeps them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch


class Kept:
    """A tensor that autograd saved for the backward, boxed: the box counts its bytes until the tensor is let go.

    It is let go by `free`, or when autograd drops the box. RuntimeError from `get` where the tensor was modified in
    place meanwhile: torch itself doesn't look at tensors that hooks have packed.
    """

    __slots__ = ("counter", "tensor", "version")

    def __init__(self, tensor: torch.Tensor, counter: ActivationBytes | None) -> None:
        # Saved outputs point to the very node that saves them: without detach, box and node would keep each other.
        self.tensor: torch.Tensor | None = tensor if tensor.grad_fn is None else tensor.detach()
        self.version, self.counter = tensor._version, counter
        if counter:
            counter.add(tensor)

    def get(self) -> torch.Tensor:
        if self.tensor is None:
            raise RuntimeError("a tensor that backward needs has been freed already: it can't go through it again")
        if self.tensor._version != self.version:
            raise RuntimeError(
                f"a tensor that backward needs, {list(self.tensor.shape)} {self.tensor.dtype}, has been modified by an "
                f"inplace operation: it is at version {self.tensor._version}, but was saved at {self.version}"
            )
        return self.tensor

    def free(self) -> None:
        tensor, self.tensor = self.tensor, None
        if tensor is not None and self.counter:
            self.counter.remove(tensor)

    def __del__(self) -> None:
        self.free()


class Boxes:
    """Those of one forward, and which of them its backward has read, but not for a junction that needs them again.

    counter : ActivationBytes, optional
        Counts what they hold.
    """

    def __init__(self, counter: ActivationBytes | None) -> None:
        self.counter = counter
        self.read: list[Kept] = []
        self.noting = self.at_junction = False

    def put(self, tensor: torch.Tensor) -> Kept:
        return Kept(tensor, self.counter)

    def get(self, kept: Kept) -> torch.Tensor:
        if self.noting and not self.at_junction:
            self.read.append(kept)
        return kept.get()

    @contextmanager
    def emptied(self) -> Iterator[None]:
        """Context of a backward, after which those are emptied that no junction needs again."""
        self.noting = True
        yield
        self.noting = False
        for kept in self.read:
            kept.free()
        self.read.clear()


class ActivationBytes:
    """Counts kept tensors' bytes, by storage: views of one storage, or a tensor kept twice, count once.

    Parameters
    ----------
    there_anyway : iterable of Tensor
        What doesn't count: parameters and the batch, and views of them.

    Attributes
    ----------
    now, peak, freed : int
        Bytes kept at this moment, the most so far, and all that were kept once and are no more.

    Examples
    --------
    >>> import torch
    >>> counter = ActivationBytes([])
    >>> with counter.counting():
    ...     y = torch.ones(10, requires_grad=True).exp()
    >>> counter.now, counter.peak
    (40, 40)
    """

    def __init__(self, there_anyway: Iterable[torch.Tensor]) -> None:
        self.excluded = {tensor.untyped_storage().data_ptr() for tensor in there_anyway}
        self.users: dict[int, int] = {}
        self.now = self.peak = self.freed = 0

    def counting(self) -> torch.autograd.graph.saved_tensors_hooks:
        """Context in which what autograd saves is counted, until it is freed."""
        return torch.autograd.graph.saved_tensors_hooks(lambda tensor: Kept(tensor, self), Kept.get)

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if key in self.excluded:
            return
        self.users[key] = self.users.get(key, 0) + 1
        if self.users[key] == 1:
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)

    def remove(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage.data_ptr()
        if key in self.excluded:
            return
        self.users[key] -= 1
        if not self.users[key]:
            del self.users[key]
            self.now -= storage.nbytes()
            self.freed += storage.nbytes()
