"""p2p: what ranks execute can't deadlock on NCCL, shown by a simulation of its rules, for no GPUs are needed for that.

Each rank's executor runs alone on torch.distributed's functions as they would be called, and what it calls is noted.
Then the notes of all ranks are played together. The rules: messages have no tags. A send and its receive hold, each on
its rank, everything later on the same process group, until both have come. The rank itself is held up where it waits
for a message, or for a send to be over.
"""

from __future__ import annotations

from collections import defaultdict, deque
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import nn

from pipelab import Schedule
from pipelab.ir import lower
from pipelab.runtime import p2p
from pipelab.runtime.executor import Executor
from tests.ir.generate import valid_schedules
from tests.runtime.small import mse
from tests.schedules.cases import schedules as named


class Call(NamedTuple):
    """What a rank calls: "send" or "receive" from or to a peer on a group, or "wait" for that to be over."""

    kind: str
    group: Any
    peer: int
    tag: int
    number: int  # of the send or receive, on this rank


class Group(SimpleNamespace):
    """Stands in for a process group."""

    __hash__ = object.__hash__


class Noted:
    """Stands in for torch.distributed on one rank: notes what is called, and waits for nothing."""

    def __init__(self, rank: int, backend: str) -> None:
        self.rank, self.backend = rank, backend
        self.calls: list[Call] = []
        self.groups = self.started = 0

    def get_backend(self) -> str:
        return self.backend

    def new_group(self, ranks: list[int] | None = None) -> Any:
        self.groups += 1
        number = self.groups

        def send(tensors: list[torch.Tensor], peer: int, tag: int) -> Any:
            return self._start("send", peer, number, ranks, tag)

        def recv(tensors: list[torch.Tensor], peer: int, tag: int) -> Any:
            tensors[0].copy_(p2p._header(torch.ones(1, 1)) if tag % 3 == p2p._SHAPE else torch.zeros(1))
            return self._start("receive", peer, number, ranks, tag)

        return Group(send=send, recv=recv)

    def get_group_rank(self, group: Any, rank: int) -> int:
        """Of this world, in which what a rank is called is the same in each group."""
        return rank

    def _start(self, kind: str, peer: int, group: int, ranks: list[int] | None, tag: int) -> Any:
        assert ranks is None or {self.rank, peer} == set(ranks)
        number, self.started = self.started, self.started + 1
        self.calls.append(Call(kind, group, peer, tag, number))
        return SimpleNamespace(wait=lambda: self.calls.append(Call("wait", group, peer, tag, number)))

    def all_reduce(self, tensor: torch.Tensor, group: Any) -> None:
        """At the end of a step; everything that was sent in it has arrived before."""


def noted(schedule: Schedule, backend: str, steps: int = 2, link: bool = False) -> list[list[Call]]:
    """What each rank calls in so many steps: in the first, shapes are not known."""
    notes = []
    for rank in range(schedule.num_ranks):
        fake = Noted(rank, backend)
        ctx: Any = SimpleNamespace(rank=rank, device=torch.device("cpu"), at=lambda *_, **__: None)
        modules: dict[int, nn.Module] = {s: nn.Linear(1, 1) for s in schedule.placement.stages_of(rank)}
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("pipelab.runtime.p2p.dist", fake)
            patched.setattr("pipelab.runtime.copies.dist", fake)
            executor = Executor(ctx, schedule, modules, mse, seed=0, pace=None)
            if link:
                executor.messages.link = [0.0] * schedule.num_stages
            batch = torch.ones(schedule.num_microbatches, 1)
            for step in range(steps):
                executor.step(step, batch, batch, begin=0.0, measure_memory=False)
        notes.append(fake.calls)
    return notes


def unfinished(notes: list[list[Call]]) -> list[int]:
    """Ranks that never come to the end of their notes."""
    heads = [0] * len(notes)
    streams: defaultdict[tuple[int, Any], deque[Call]] = defaultdict(deque)  # (rank, group) -> not yet over
    over: set[tuple[int, int]] = set()  # (rank, number)
    moved = True
    while moved:
        moved = False
        for rank, calls in enumerate(notes):
            while heads[rank] < len(calls):
                call = calls[heads[rank]]
                if call.kind != "wait":
                    streams[rank, call.group].append(call)
                elif (rank, call.number) not in over:
                    break
                heads[rank] += 1
                moved = True
        for (rank, group), stream in list(streams.items()):
            while stream and stream[0].kind == "send":
                there = streams[stream[0].peer, group]
                if not there or there[0].kind != "receive" or there[0].peer != rank:
                    break
                assert there[0].tag == stream[0].tag, "a message was taken for another"
                over |= {(rank, stream[0].number), (stream[0].peer, there[0].number)}
                stream.popleft()
                there.popleft()
                moved = True
    return [rank for rank, calls in enumerate(notes) if heads[rank] < len(calls)]


@given(st.one_of(valid_schedules(), named()), st.booleans())
@settings(max_examples=150, deadline=None)
def test_no_schedule_deadlocks_on_nccl(schedule: Schedule, link: bool) -> None:
    assert unfinished(noted(lower(schedule), "nccl", link=link)) == []


def test_groups_of_all_ranks_would() -> None:
    """Groups in which there are tags: on NCCL, a receive from one rank would hold up those from another."""
    from pipelab.schedules import one_f_one_b

    assert unfinished(noted(lower(one_f_one_b(4, 8)), "gloo"))
