"""check: is a schedule complete, ordered and free of deadlock? All problems at once, each as a plain sentence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import compress
from typing import NoReturn

import numpy as np

from ..amounts import counted
from .action import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, COMPUTES, MESSAGES, Action
from .codes import KIND_B, KIND_F, KIND_I, KIND_W, KINDS, MICROBATCHES, SENDS, STAGES, unpack
from .flow import Flow, walk
from .messages import all_fit, check_messages
from .schedule import Schedule, require_schedule


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a schedule.

    Attributes
    ----------
    code : str
        "unknown" (no such stage, micro-batch or action here) · "duplicate" · "misplaced" (on the wrong rank) ·
        "missing" · "order" (before something that the same rank does later) · "deadlock" (waits for ever) ·
        "message" (a send without its receive, or in another order)
    rank : int
        Where; for a missing action, where it belongs.
    action : Action
        The action that is wrong.
    message : str
        The same in one sentence.
    waits_for : Action, optional
        What it waits for, where that is the problem.

    Examples
    --------
    >>> from pipelab.ir import from_csv
    >>> (problem,) = check(from_csv("0F0\\n1F0,1B0"))
    >>> problem.code, problem.rank, problem.action
    ('missing', 0, 0B0)
    """

    code: str
    rank: int
    action: Action
    message: str
    waits_for: Action | None = None

    def __str__(self) -> str:
        return self.message


class ScheduleError(ValueError):
    """A schedule that can't run. `problems` holds every reason.

    Examples
    --------
    >>> from pipelab.ir import from_csv
    >>> require_valid(from_csv("0F0\\n1F0,1B0"))
    Traceback (most recent call last):
    pipelab.ir.check.ScheduleError: schedule 'csv' can't run: 1 problem
      - rank 0 never does 0B0
    """

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(name, problems)
        self.name, self.problems = name, problems

    def __str__(self) -> str:
        shown = [f"  - {problem}" for problem in self.problems[:10]]
        if more := len(self.problems) - len(shown):
            shown.append(f"  … and {more} more (see .problems)")
        count = counted(len(self.problems), "problem")
        return "\n".join([f"schedule {self.name!r} can't run: {count}", *shown])


def check(schedule: Schedule) -> tuple[Problem, ...]:
    """List every problem of a schedule: none if it is complete, ordered and free of deadlock.

    Takes time linear in the number of actions, whatever the schedule; it always ends.

    Parameters
    ----------
    schedule : Schedule
        Valid or not.

    Returns
    -------
    tuple of Problem

    Examples
    --------
    >>> from pipelab.ir import from_csv
    >>> [str(problem) for problem in check(from_csv("0F0,0B0\\n1B0,1F0"))]
    ['rank 1 does 1B0 before 1F0, which it needs']
    """
    require_schedule(schedule)
    if not _known(schedule):
        return tuple(_unknown(schedule)) or _too_large(schedule)
    flow = Flow.of(schedule)
    problems = [*_count(schedule, flow), *_order(flow)]
    problems += _deadlock(flow, {(p.rank, p.action) for p in problems})
    if has_messages(schedule) and (problems or not all_fit(schedule, flow)):
        problems += [Problem("message", *found) for found in check_messages(schedule)]
    return tuple(problems)


def flow_of(schedule: Schedule) -> Flow:
    """What each action of a complete schedule needs; ScheduleError if something is wrong already on one rank.

    What is left to find is a deadlock between ranks: a :func:`walk` finds it.
    """
    if not _known(schedule) or has_messages(schedule):
        require_valid(schedule)
        return Flow.of(schedule)
    flow = Flow.of(schedule)
    if any(_count(schedule, flow)) or any(_order(flow)):
        require_valid(schedule)
    return flow


def require_valid(schedule: Schedule) -> None:
    """Raise ScheduleError if `check` finds anything."""
    if problems := check(schedule):
        raise ScheduleError(schedule.name, problems)


def has_messages(schedule: Schedule) -> bool:
    """Is it lowered, or does it hold any message?"""
    return bool((unpack(schedule.coded.codes).kind >= SENDS).any())


def _known(schedule: Schedule) -> bool:
    """Does every action make sense in this schedule?"""
    if schedule.coded is None:
        return False
    kind, stage, microbatch, _ = unpack(schedule.coded.codes)
    inside = (stage < schedule.num_stages) & (microbatch < schedule.num_microbatches)
    return bool(inside.all() and (schedule.training or ((kind == KIND_F) | (kind >= SENDS)).all()))


def _unknown(schedule: Schedule) -> Iterator[Problem]:
    for rank, program in enumerate(schedule.programs):
        for action in program:
            if action.parts and not action.is_pair:
                wrong = f"rank {rank} has {action}: an overlapped pair is one F and one B or I, in this order"
                yield Problem("unknown", rank, action, wrong)
                continue
            for part in action.computes or (action,):
                if wrong := _wrong(part, schedule):
                    yield Problem("unknown", rank, part, f"rank {rank} has {part}: {wrong}")


def _too_large(schedule: Schedule) -> NoReturn:
    limits = f"{STAGES} stages and {MICROBATCHES} micro-batches"
    sizes = f"{schedule.num_stages} and {schedule.num_microbatches}"
    raise ValueError(f"schedule {schedule.name!r} is too large to be checked: at most {limits}; got {sizes}")


def _wrong(part: Action, schedule: Schedule) -> str:
    """What makes no sense in this schedule about a plain action or a message."""
    if part.kind not in (*COMPUTES, *MESSAGES):
        return f"{part.kind!r} is no kind of action"
    if type(part.stage) is not int or part.stage not in range(schedule.num_stages):  # True is none
        return f"there are only stages 0 to {schedule.num_stages - 1}"
    if type(part.microbatch) is not int or part.microbatch not in range(schedule.num_microbatches):
        return f"there are only micro-batches 0 to {schedule.num_microbatches - 1}"
    if not schedule.training and part.kind in (BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT):
        return "a forward-only schedule has no backward"
    return ""


def _count(schedule: Schedule, flow: Flow) -> Iterator[Problem]:
    """Every stage meets every micro-batch once: F, and either B or both I and W; each where it belongs."""
    kind, stage, microbatch, _ = flow.parts
    routes = np.array(schedule.placement.routes)
    owner = routes[microbatch.astype(int) * len(routes) // schedule.num_microbatches, stage]  # as Placement.rank_of
    for part, rank, right in _at(flow, flow.rank != owner, flow.rank, owner):
        wrong = f"rank {rank} has {part}, but this stage of this micro-batch is on rank {right}"
        yield Problem("misplaced", rank, part, wrong)
    count = flow.places.count(flow.parts)
    complete = count[KIND_F] == 1
    for half in (KIND_I, KIND_W):
        complete &= count[KIND_B] + count[half] == int(schedule.training)
    if complete.all():
        return
    times = count[kind, stage, microbatch]
    with_i, with_w = ((kind == KIND_B) & (count[half, stage, microbatch] > 0) for half in (KIND_I, KIND_W))
    first = flow.places.row[kind, stage, microbatch] == np.arange(len(kind))
    twice = first & ((times > 1) | with_i | with_w)
    for part, rank, found, *halves in _at(flow, twice, owner, times, with_i, with_w):
        if found > 1:
            yield Problem("duplicate", rank, part, f"{part} is there {found} times; once is right")
        for also in compress((BACKWARD_INPUT, BACKWARD_WEIGHT), halves):
            again = Action(also, part.stage, part.microbatch)
            wrong = f"{again} does a part of {part} a second time: B is I and W together"
            yield Problem("duplicate", rank, again, wrong)
    for number, s, m in _missing(count > 0, schedule.training):
        action, rank = Action(KINDS[number], s, m), schedule.rank_of(s, m)
        yield Problem("missing", rank, action, f"rank {rank} never does {action}")


def _at(flow: Flow, chosen: np.ndarray, *columns: np.ndarray) -> Iterator[tuple]:
    """The chosen rows: the plain action, and what the columns hold."""
    rows = np.flatnonzero(chosen)
    return zip(flow.parts_at(rows), *(column[rows].tolist() for column in columns), strict=True)


def _missing(found: np.ndarray, training: bool) -> list[tuple[int, int, int]]:
    """(kind, stage, micro-batch) of what isn't there, stage by stage; of a backward that is missing in whole, B."""
    absent = np.zeros_like(found)
    absent[KIND_F] = ~found[KIND_F]
    if training:
        absent[KIND_B] = ~(found[KIND_B] | found[KIND_I] | found[KIND_W])
        absent[KIND_I] = ~found[KIND_I] & found[KIND_W] & ~found[KIND_B]
        absent[KIND_W] = ~found[KIND_W] & found[KIND_I] & ~found[KIND_B]
    return [(kind, s, m) for s, m, kind in np.argwhere(absent.transpose(1, 2, 0)).tolist()]


def _order(flow: Flow) -> Iterator[Problem]:
    """What an action needs from its own rank must stand before it there; a pair's two halves can't need each other."""
    last, both = flow.parts.last, (flow.own, flow.across)
    first = flow.places.row[flow.parts[:3]] == np.arange(len(last))  # a duplicate is reported as one
    here = (first & (flow.rank[needs] == flow.rank) & (needs >= 0) & (last[needs] >= last) for needs in both)
    late = [*map(np.flatnonzero, here)]
    row, need = np.concatenate(late), np.concatenate([needs[rows] for needs, rows in zip(both, late, strict=True)])
    by_row = np.argsort(row, kind="stable")
    row, need = row[by_row], need[by_row]
    columns = flow.parts_at(row), flow.parts_at(need), flow.rank[row].tolist(), (last[row] == last[need]).tolist()
    for part, needed, rank, at_once in zip(*columns, strict=True):
        wrong = f"rank {rank} does {part} {'together with' if at_once else 'before'} {needed}, which it needs"
        yield Problem("order", rank, part, wrong, needed)


def _deadlock(flow: Flow, known: set[tuple[int, Action]]) -> Iterator[Problem]:
    """Where each rank would stand for ever, waiting for another rank."""
    needs = flow.needs
    for row in walk(flow.bounds, needs, [1] * len(needs)).stuck:
        rank, action = int(flow.rank[row]), flow.action(row)
        if (rank, action) not in known:
            other, producer = flow.rank[needs[row]], flow.action(needs[row])
            wrong = f"rank {rank} waits at {action} for {producer} from rank {other}, which never comes"
            yield Problem("deadlock", rank, action, wrong, producer)
