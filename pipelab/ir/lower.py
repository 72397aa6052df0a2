"""lower: add the sends and receives to a schedule, in one order that all ranks share."""

from __future__ import annotations

from dataclasses import replace

from .action import Action
from .check import require_valid
from .flow import Flow
from .messages import sent
from .schedule import Schedule


def lower(schedule: Schedule) -> Schedule:
    """The same schedule with SEND and RECV actions. ScheduleError if `check` finds a problem.

    Every action gets a time from a simulation at unit costs, and every message the time at which its action ends.
    Sorted by time, computations and messages form one sequence in which nothing comes before what it needs; a rank's
    program is its part of that sequence. So the first event that is not over can always go on: its ranks have nothing
    else left to do before it. This holds even where a message has no tag, arrives in order, and holds both ranks until
    it is over, as with NCCL. How early a rank *posts* a receive is the executor's business.

    >>> from pipelab.schedules import gpipe
    >>> print(lower(gpipe(2, 1)))
    gpipe: 2 ranks, 2 stages, 1 micro-batch
    rank 0       0F0 0SEND_F0 0RECV_B0      0B0
    rank 1  1RECV_F0      1F0      1B0 1SEND_B0
    """
    require_valid(schedule)
    flow = Flow.of(schedule)
    walked = flow.walk()
    # (time, 0 for a message and 1 for a computation, number): messages first, as what needs one may start at that time.
    events: list[tuple[int, int, int, int, Action]] = []
    for number, (rank, action) in enumerate(flow.actions):
        events.append((walked.start[number], 1, number, rank, action))
        for part in action.computes:
            if message := sent(part, schedule):
                events.append((walked.end[number], 0, number, message.source, message.send))
                events.append((walked.end[number], 0, number, message.target, message.receive))
    programs: list[list[Action]] = [[] for _ in range(schedule.num_ranks)]
    for _, _, _, rank, action in sorted(events, key=lambda event: event[:3]):
        programs[rank].append(action)
    return replace(schedule, programs=tuple(map(tuple, programs)))
