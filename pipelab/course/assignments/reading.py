"""Reading: a schedule from the lists of text that a hand-in answers with, or why there is none in them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...ir import Action, Schedule, from_csv
from ..exercise import different
from .base import Refused

_LONGEST = 64  # characters of an action: a pair with numbers of many digits
_NAME = "yours"


def read_like(answer: Any, reference: Schedule) -> Schedule:
    """A schedule of the same pipeline as the reference. Refused, with what is wanted, for anything else."""
    programs = _programs(answer, reference.num_ranks, sum(map(len, reference.programs)))
    schedule = replace(reference, name=_NAME, programs=programs)
    if reasons := different(schedule, reference):
        raise Refused("; ".join(reasons))
    return schedule


def read_free(answer: Any, ranks: int, microbatches: int) -> Schedule:
    """A schedule of any placement on so many ranks: its actions tell. Refused where there is none."""
    programs = _programs(answer, ranks, 3 * ranks * microbatches)
    try:
        schedule = from_csv("\n".join(",".join(map(str, program)) for program in programs), _NAME)
    except ValueError as error:
        raise Refused(str(error)) from None
    if (schedule.num_ranks, schedule.num_microbatches) != (ranks, microbatches):
        raise Refused(
            f"it is for {schedule.num_ranks} ranks and {schedule.num_microbatches} micro-batches; "
            f"{ranks} and {microbatches} are wanted"
        )
    if not schedule.training:
        raise Refused("it is forward only; training needs the backwards, too")
    return schedule


def _programs(answer: Any, ranks: int, expected: int) -> tuple[tuple[Action, ...], ...]:
    if not isinstance(answer, list) or not all(isinstance(program, list) for program in answer):
        raise Refused("it returns no list of lists; one list of actions per rank is wanted")
    if len(answer) != ranks:
        raise Refused(f"it returns {len(answer)} lists; one per rank is wanted, {ranks}")
    if (count := sum(map(len, answer))) > 10 * expected + 100:
        raise Refused(f"it returns {count} actions; {expected} are about right")
    try:
        return tuple(tuple(_action(text) for text in program) for program in answer)
    except ValueError as error:
        raise Refused(str(error)) from None


def _action(text: Any) -> Action:
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(f"{str(text)[:_LONGEST]!r} is not an action; actions are text, such as '2F3'")
    return Action.parse(text)
