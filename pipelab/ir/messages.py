"""Messages: which sends and receives a schedule needs, and are they in an order that can run?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .action import BACKWARD, BACKWARD_INPUT, FORWARD, MESSAGES, RECV_B, RECV_F, SEND_B, SEND_F, Action
from .codes import KINDS, SENDS, unpack
from .flow import Flow, walk
from .schedule import Schedule

Found = tuple[int, Action, str]  # rank, action, what is wrong with it in one sentence


class Message(NamedTuple):
    """What one rank hands to another: a stage's output to the next stage, or its input's gradient to the previous."""

    source: int  # ranks
    target: int
    send: Action
    receive: Action

    @property
    def boundary(self) -> int:
        """It travels between the stages `boundary` and `boundary + 1`."""
        return min(self.send.stage, self.receive.stage)


def _message(maker: tuple[str, int, int], schedule: Schedule) -> Message | None:
    """The message that this (kind, stage, micro-batch) causes; None if there is none, or both ends are on one rank."""
    kind, stage, microbatch = maker
    if kind == FORWARD:
        taker, send, receive = stage + 1, SEND_F, RECV_F
    elif kind in (BACKWARD, BACKWARD_INPUT):
        taker, send, receive = stage - 1, SEND_B, RECV_B
    else:
        return None
    if not (0 <= stage < schedule.num_stages and 0 <= taker < schedule.num_stages):
        return None
    source, target = schedule.rank_of(stage, microbatch), schedule.rank_of(taker, microbatch)
    if source == target:
        return None
    return Message(source, target, Action(send, stage, microbatch), Action(receive, taker, microbatch))


def sent(part: Action, schedule: Schedule) -> Message | None:
    """The message that carries what a plain compute action makes; None if nothing leaves its rank."""
    return _message(part[:3], schedule)


def received(part: Action, schedule: Schedule) -> Message | None:
    """The message that brings what a plain compute action needs; None if its own rank has it."""
    before = part.stage - 1 if part.kind == FORWARD else part.stage + 1
    return _message((part.kind, before, part.microbatch), schedule)


def channels(schedule: Schedule) -> dict[tuple[int, int], list[Message]]:
    """(source, target) -> what one rank sends to another, in the order in which it is computed."""
    found: dict[tuple[int, int], list[Message]] = {}
    for program in schedule.programs:
        for action in program:
            for part in action.computes:
                if message := sent(part, schedule):
                    found.setdefault((message.source, message.target), []).append(message)
    return found


def check_messages(schedule: Schedule) -> Iterator[Found]:
    """Everything wrong with a lowered schedule's messages; nothing for a schedule that is not lowered.

    The rules are those of :func:`pipelab.ir.lower`: messages have no tags, and arrive in the order in which they were
    sent from one rank to another; a send holds its rank up no longer than it takes to start, and a receive until its
    message has come.
    """
    if not any(action.kind in MESSAGES for program in schedule.programs for action in program):
        return
    wanted: dict[tuple[int, Action], Message] = {}
    for messages in channels(schedule).values():
        for message in messages:
            wanted[message.source, message.send] = wanted[message.target, message.receive] = message
    miscounted = [*_miscounted(schedule, wanted)]
    yield from miscounted
    yield from _misordered(schedule)
    if not miscounted:
        yield from _run(schedule, wanted)


def all_fit(schedule: Schedule, flow: Flow) -> bool:
    """Is each message of a schedule in which nothing else is wrong there once, in its place, and none too many?

    The same rules, for all messages at once.
    """
    codes, bounds = schedule.coded
    kind, stage, microbatch, _ = unpack(codes)
    needer, maker = flow.messages()
    rows = np.flatnonzero(kind >= SENDS)
    if len(rows) != 2 * len(needer):
        return False
    place = np.full((len(KINDS), schedule.num_stages, schedule.num_microbatches), -1)
    place[kind[rows], stage[rows], microbatch[rows]] = rows
    received, sent = (place[unpack(which)[:3]] for which in (flow.receives(needer), flow.sends(maker)))
    if min(received.min(initial=0), sent.min(initial=0)) < 0:
        return False
    rank, computed = schedule.coded.rank, np.flatnonzero(kind < SENDS)
    at_home = (rank[received] == flow.rank[needer]) & (rank[sent] == flow.rank[maker])
    in_time = (received < computed[needer - flow.parts.second[needer]]) & (sent > computed[flow.parts.last[maker]])
    channel = flow.rank[maker] * schedule.num_ranks + flow.rank[needer]
    as_sent = np.lexsort((sent, channel))
    queue, channel = received[as_sent], channel[as_sent]
    crossed = (queue[1:] < queue[:-1]) & (channel[1:] == channel[:-1])
    needs = np.full(len(codes), -1)
    needs[received] = sent
    return (
        bool(at_home.all() and in_time.all() and not crossed.any()) and not walk(bounds, needs, [0] * len(codes)).stuck
    )


def _miscounted(schedule: Schedule, wanted: dict[tuple[int, Action], Message]) -> Iterator[Found]:
    """Every message is sent once and received once, and no other is."""
    programs = enumerate(schedule.programs)
    count = Counter((rank, action) for rank, program in programs for action in program if action.kind in MESSAGES)
    for (rank, action), times in count.items():
        if (rank, action) not in wanted:
            yield rank, action, f"rank {rank} has {action}, but no such message leaves or reaches it"
        elif times > 1:
            yield rank, action, f"rank {rank} has {action} {times} times; once is right"
    for (rank, action), message in wanted.items():
        if (rank, action) not in count:
            way = f"the message from rank {message.source} to rank {message.target}"
            yield rank, action, f"rank {rank} never does {action}, its side of {way}"


def _misordered(schedule: Schedule) -> Iterator[Found]:
    """On each rank, what is sent is made before, and what is needed has been received before."""
    for rank, program in enumerate(schedule.programs):
        done: set[Action] = set()  # receives, and the sends that may now follow
        for action in program:
            if action.kind in (SEND_F, SEND_B) and action not in done:
                yield rank, action, f"rank {rank} does {action} before it has computed what it sends"
            if action.kind in (RECV_F, RECV_B):
                done.add(action)
            for part in action.computes:
                if (message := received(part, schedule)) and message.receive not in done:
                    yield rank, part, f"rank {rank} does {part} before {message.receive}, which brings what it needs"
            done.update(message.send for part in action.computes if (message := sent(part, schedule)))


def _run(schedule: Schedule, wanted: dict[tuple[int, Action], Message]) -> Iterator[Found]:
    """Run the programs. Where is something received that comes later, and at which receives do ranks stand for ever?"""
    programs = [[action for action in program if action.kind in MESSAGES] for program in schedule.programs]
    position = [0] * schedule.num_ranks
    on_their_way: dict[tuple[int, int], list[Message]] = {}  # (source, target) -> in the order in which they were sent
    crossed: set[tuple[int, int]] = set()
    moved = [*range(schedule.num_ranks)]
    while moved:
        rank = moved.pop()
        while position[rank] < len(programs[rank]):
            action = programs[rank][position[rank]]
            message = wanted[rank, action]
            channel = message.source, message.target
            sending = on_their_way.setdefault(channel, [])
            if rank == message.source:
                sending.append(message)
                moved.append(message.target)
            elif message not in sending:
                break
            else:
                if sending[0] != message and channel not in crossed:
                    crossed.add(channel)
                    first = f"rank {message.source}, which sends {sending[0].send} first"
                    yield rank, action, f"rank {rank} expects {action} from {first}"
                sending.remove(message)
            position[rank] += 1
    for rank, (program, at) in enumerate(zip(programs, position, strict=True)):
        if at < len(program):
            action = program[at]
            peer = wanted[rank, action].source
            there = programs[peer][position[peer]]
            yield rank, action, f"rank {rank} waits at {action} for rank {peer}, which waits at {there}"
