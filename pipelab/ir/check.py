"""check: is a schedule complete, ordered and free of deadlock? All problems at once, each as a plain sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ..amounts import counted
from .action import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, COMPUTES, FORWARD, MESSAGES, Action
from .flow import Flow, Key, alternatives
from .messages import check_messages
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
    problems = [*_unknown(schedule)]
    if not problems:
        problems += [*_count(schedule), *_order(schedule)]
        problems += _deadlock(schedule, {(p.rank, p.action) for p in problems})
        problems += [Problem("message", *found) for found in check_messages(schedule)]
    return tuple(problems)


def require_valid(schedule: Schedule) -> None:
    """Raise ScheduleError if `check` finds anything."""
    if problems := check(schedule):
        raise ScheduleError(schedule.name, problems)


def _parts(schedule: Schedule) -> Iterator[tuple[int, int, Action]]:
    """(rank, position, plain compute action) of the whole schedule."""
    for rank, program in enumerate(schedule.programs):
        for position, action in enumerate(program):
            for part in action.computes:
                yield rank, position, part


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


def _count(schedule: Schedule) -> Iterator[Problem]:
    """Every stage meets every micro-batch once: F, and either B or both I and W; each where it belongs."""
    found = Counter(part[:3] for _, _, part in _parts(schedule))
    for rank, _, part in _parts(schedule):
        owner = schedule.rank_of(part.stage, part.microbatch)
        if rank != owner:
            wrong = f"rank {rank} has {part}, but this stage of this micro-batch is on rank {owner}"
            yield Problem("misplaced", rank, part, wrong)
    for key, count in found.items():
        kind, stage, microbatch = key
        action, rank = Action(*key), schedule.rank_of(stage, microbatch)
        if count > 1:
            yield Problem("duplicate", rank, action, f"{action} is there {count} times; once is right")
        if kind == BACKWARD:
            for half in (BACKWARD_INPUT, BACKWARD_WEIGHT):
                if (half, stage, microbatch) in found:
                    twice = Action(half, stage, microbatch)
                    wrong = f"{twice} does a part of {action} a second time: B is I and W together"
                    yield Problem("duplicate", rank, twice, wrong)
    for stage in range(schedule.num_stages):
        for microbatch in range(schedule.num_microbatches):
            for kind in _missing(found, stage, microbatch, schedule.training):
                action, rank = Action(kind, stage, microbatch), schedule.rank_of(stage, microbatch)
                yield Problem("missing", rank, action, f"rank {rank} never does {action}")


def _missing(found: Counter[Key], stage: int, microbatch: int, training: bool) -> Iterator[str]:
    def absent(kind: str) -> bool:
        return (kind, stage, microbatch) not in found

    if absent(FORWARD):
        yield FORWARD
    if training and absent(BACKWARD):
        if absent(BACKWARD_INPUT) and absent(BACKWARD_WEIGHT):
            yield BACKWARD
        else:
            yield from filter(absent, (BACKWARD_INPUT, BACKWARD_WEIGHT))


def _order(schedule: Schedule) -> Iterator[Problem]:
    """What an action needs from its own rank must stand before it there; a pair's two halves can't need each other."""
    first: dict[tuple[int, Key], int] = {}
    for rank, position, part in _parts(schedule):
        first.setdefault((rank, part[:3]), position)
    for rank, position, part in _parts(schedule):
        if position != first[rank, part[:3]]:
            continue  # a duplicate; reported as one
        for keys in alternatives(part, schedule.num_stages):
            for key in keys:
                if first.get((rank, key), -1) >= position:
                    needed = Action(*key)
                    together = "together with" if first[rank, key] == position else "before"
                    wrong = f"rank {rank} does {part} {together} {needed}, which it needs"
                    yield Problem("order", rank, part, wrong, needed)


def _deadlock(schedule: Schedule, known: set[tuple[int, Action]]) -> Iterator[Problem]:
    """Where each rank would stand for ever, waiting for another rank."""
    flow = Flow.of(schedule)
    walked = flow.walk()
    for i in walked.stuck:
        rank, action = flow.actions[i]
        if (rank, action) not in known:
            other, producer = next(flow.actions[j] for j in flow.needs[i] if walked.end[j] is None)
            wrong = f"rank {rank} waits at {action} for {producer} from rank {other}, which never comes"
            yield Problem("deadlock", rank, action, wrong, producer)
