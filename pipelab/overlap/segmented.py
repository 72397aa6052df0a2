"""Modules that say where they communicate, so that something else can compute meanwhile.

Its forward is a generator: Python pauses a generator at each ``yield``, and goes on when told to. Ours pauses where
rows travel between ranks:

    def segments(self, x):
        x = self.before(x)
        x, = yield Exchange("dispatch", x, send, receive, group)
        return self.after(x)

Called as a module it communicates at once and waits, under autograd (`Segmented.forward`). Driven by
:mod:`pipelab.overlap.interleave`, a forward and a backward take turns: each computes while the other's rows travel.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .expert_group import ExpertGroup


class Exchange(NamedTuple):
    """A point at which a module communicates: all ranks of a group send each other rows of a tensor.

    The answer to ``yield Exchange(…)`` is a tuple: the rows that came, in the order of their ranks, and then `carry`.

    Parameters
    ----------
    name : str
        What it is called, such as "dispatch".
    tensor : Tensor
        [rows, …]: its rows in the order of the ranks that they go to.
    send, receive : sequence of int
        How many rows go to, and come from, each rank of the group. Zero is fine.
    group : ProcessGroup, optional
        None: there is nobody else, and the tensor itself comes back.
    carry : tuple of Tensor
        Every other tensor that depends on earlier segments and is needed in later ones.
    segment : str
        What the computation that ends here is called, such as "attention".

    Examples
    --------
    >>> there = Exchange("dispatch", torch.ones(3, 4), send=[3], receive=[2])
    >>> back = there.twin(torch.ones(2, 4))
    >>> back.send, back.receive
    ([2], [3])
    """

    name: str
    tensor: Tensor
    send: Sequence[int]
    receive: Sequence[int]
    group: dist.ProcessGroup | None = None
    carry: tuple[Tensor, ...] = ()
    segment: str = "compute"

    def twin(self, gradient: Tensor | None) -> Exchange:
        """The same exchange of the backward: each row's gradient goes back to where it came from. None: zeros."""
        if gradient is None:
            gradient = self.tensor.new_zeros((sum(self.receive), *self.tensor.shape[1:]))
        return Exchange(self.name, gradient, self.receive, self.send, self.group, segment=self.segment)

    def bare(self) -> Exchange:
        """The same without its rows: kept for a backward, they would keep their graph, and themselves, alive."""
        return self._replace(tensor=self.tensor.new_empty((0, *self.tensor.shape[1:])), carry=())

    def start(self) -> tuple[Any, Tensor]:
        """Let the rows travel: (a handle to wait for, or None; the tensor into which they come)."""
        if self.group is None:
            return None, self.tensor
        rows = self.tensor.detach().contiguous()
        came = rows.new_empty((sum(self.receive), *rows.shape[1:]))
        receive, send = list(self.receive), list(self.send)
        return dist.all_to_all_single(came, rows, receive, send, group=self.group, async_op=True), came

    @property
    def bytes(self) -> int:
        """How many bytes go to other ranks, or come from them, whichever is more."""
        own = dist.get_rank(self.group) if self.group is not None else 0
        away = (sum(rows) - rows[own] for rows in (self.send, self.receive))
        return max(away) * math.prod(self.tensor.shape[1:]) * self.tensor.element_size()

    def require_agreement(self) -> None:
        """ValueError, on every rank of the group, if what one sends is not what another expects.

        All ranks call it together. Without it, gloo would hang, or end a process.
        """
        if self.group is None:
            return
        mine = (list(self.send), list(self.receive), str(self.tensor.dtype), [*self.tensor.shape])
        theirs: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(theirs, mine, group=self.group)
        for rank, (send, receive, dtype, shape) in enumerate(theirs):
            if {len(send), len(receive)} != {len(theirs)} or sum(send) != shape[0]:
                raise ValueError(
                    f"{self.name}: rank {rank} of {len(theirs)} sends {send} of {shape[0]} rows, and expects "
                    f"{receive}: each must have one number per rank, and what is sent must be all rows"
                )
            if (dtype, shape[1:]) != (mine[2], mine[3][1:]):
                raise ValueError(
                    f"{self.name}: rank {rank} has rows of {shape[1:]} {dtype}, another has {mine[3][1:]} {mine[2]}"
                )
            for other, (_, expected, *_) in enumerate(theirs):
                if send[other] != expected[rank]:
                    raise ValueError(
                        f"{self.name}: rank {rank} sends {send[other]} rows to rank {other}, which expects "
                        f"{expected[rank]}"
                    )


Segments = Generator[Exchange, tuple[Tensor, ...], Tensor]


class Segmented(nn.Module):
    """A module that is defined by its `segments`. A subclass that yields exchanges says how many: `exchanges`.

    Examples
    --------
    >>> class Doubled(Segmented):
    ...     exchanges = 1
    ...     def segments(self, x):
    ...         (x,) = yield Exchange("there", 2 * x, [len(x)], [len(x)])
    ...         return x + 1
    >>> Doubled()(torch.ones(2))
    tensor([3., 3.])
    """

    checked = False  # do its segments do what they declare?

    @property
    def exchanges(self) -> int:
        """How many exchanges a forward has: here, those of the modules inside."""
        return sum(child.exchanges for child in self._inside())

    def _inside(self) -> Iterator[Segmented]:
        for child in self.children():
            yield from outermost(child)

    def spread(self, group: ExpertGroup) -> None:
        """Keep only this rank's share of parameters that can be spread over a group: here, in the modules inside."""
        for child in self._inside():
            child.spread(group)

    def spread_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that no other rank has: here, of the modules inside."""
        for child in self._inside():
            yield from child.spread_parameters()

    def segments(self, x: Tensor) -> Segments:
        """A generator that yields an Exchange wherever the module communicates, and returns its output."""
        raise NotImplementedError(f"{type(self).__name__} must define segments")

    def forward(self, x: Tensor) -> Tensor:
        """All segments, each exchange waited for. Autograd takes every row's gradient back to where it came from."""
        segments = self.segments(x)
        try:
            exchange = next(segments)
            while True:
                exchange = segments.send((_Exchanged.apply(exchange.tensor, exchange), *exchange.carry))
        except StopIteration as end:
            return end.value

    def counts(self) -> Iterator[Tensor]:
        """Buffers that add something up over a step's micro-batches: here, of the modules inside.

        Before `end_step` they are summed over all copies of the module, as each has seen other micro-batches.
        """
        for child in self._inside():
            yield from child.counts()

    def end_step(self) -> None:
        """What is to be done once a step, before the optimizer: here, by the modules inside."""
        for child in self._inside():
            child.end_step()


def outermost(module: nn.Module) -> Iterator[Segmented]:
    """The segmented modules in a module, itself if it is one, but not those inside of them."""
    if isinstance(module, Segmented):
        yield module
    else:
        for child in module.children():
            yield from outermost(child)


class SegmentedSequence(Segmented):
    """Modules one after the other, segmented and ordinary ones.

    Examples
    --------
    >>> SegmentedSequence(nn.Linear(4, 3), nn.Tanh())(torch.zeros(2, 4)).shape
    torch.Size([2, 3])
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(modules)

    def segments(self, x: Tensor) -> Segments:
        for layer in self.layers:
            x = (yield from layer.segments(x)) if isinstance(layer, Segmented) else layer(x)
        return x


def carrying(segments: Segments, *tensors: Tensor) -> Generator[Exchange, tuple[Tensor, ...], tuple[Tensor, ...]]:
    """The same segments, which take more tensors along, such as a residual: (output, *tensors)."""
    try:
        exchange = next(segments)
        while True:
            came, *carried = yield exchange._replace(carry=(*exchange.carry, *tensors))
            own, tensors = carried[: len(exchange.carry)], tuple(carried[len(exchange.carry) :])
            exchange = segments.send((came, *own))
    except StopIteration as end:
        return end.value, *tensors


class _Exchanged(torch.autograd.Function):
    """An exchange that autograd knows: its gradient is the twin's."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, exchange: Exchange) -> Tensor:
        ctx.exchange = exchange.bare()
        return _waited(exchange)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _waited(ctx.exchange.twin(gradient)), None


def _waited(exchange: Exchange) -> Tensor:
    work, came = exchange.start()
    if work is None:
        return came.view_as(came)
    work.wait()
    return came
