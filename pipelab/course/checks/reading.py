"""Reading: a schedule, or whole numbers, from what a function returned; or why there is nothing of that kind in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ...eplb.sizes import as_array
from ...ir import Action, Schedule, from_csv
from .judge import Refused, in_a_line

Builder = Callable[[int, int], Schedule | Iterable[Iterable[Action | str]]]

_LONGEST = 64  # characters of an action: a pair with numbers of many digits
_NAME = "yours"
_NOT_ASKED_FOR = "Not the schedule that was asked for"


def schedule_of(fn: Builder, ranks: int, microbatches: int, name: str = _NAME) -> Schedule:
    """Turn what a student's function returns into a Schedule, so that all of pipelab takes it.

    Parameters
    ----------
    fn : function (ranks, microbatches) -> one list of actions per rank, or a Schedule
        Its actions, such as ``["0F0", "0B0"]``, tell which rank holds which stage.
    ranks, microbatches : int
        What it is called with.
    name : str
        Of the schedule, as pictures show it.

    Returns
    -------
    Schedule
        It may be one that can't run yet: :func:`pipelab.check` says that.

    Raises
    ------
    ValueError
        For an answer that is no schedule; it says why. What fn itself raises is not caught.

    Examples
    --------
    >>> schedule_of(lambda ranks, microbatches: [["0F0", "0B0"], ["1F0", "1B0"]], 2, 1).placement.kind
    'linear'
    """
    return replace(read_free(fn(ranks, microbatches), ranks, microbatches), name=name)


def read_like(answer: Any, reference: Schedule) -> Schedule:
    """A schedule of the same pipeline as the reference. Refused, with what is wanted, for anything else."""
    if isinstance(answer, Schedule) and (reasons := _different(answer, reference)):
        raise Refused(*reasons, title=_NOT_ASKED_FOR)
    programs = _programs(answer, reference.num_ranks, sum(map(len, reference.programs)))
    return replace(reference, name=_NAME, programs=programs)


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
            f"{ranks} and {microbatches} are wanted",
            title=_NOT_ASKED_FOR,
        )
    if not schedule.training:
        raise Refused("it is forward only; training needs the backwards, too", title=_NOT_ASKED_FOR)
    return schedule


def _different(schedule: Schedule, reference: Schedule) -> list[str]:
    """Why these are not schedules of the same pipeline; then it means nothing which of them is faster."""
    reasons = []
    for what, name in (("ranks", "num_ranks"), ("stages", "num_stages"), ("micro-batches", "num_microbatches")):
        if (has := getattr(schedule, name)) != (wanted := getattr(reference, name)):
            reasons.append(f"its number of {what} is {has}; {wanted} is wanted")
    if not reasons and schedule.placement.routes != reference.placement.routes:
        has, wanted = (" and ".join(map(str, each.placement.routes)) for each in (schedule, reference))
        reasons.append(f"its stages lie on the ranks {has}; they belong on {wanted}")
    if not schedule.training:
        reasons.append("it is forward only; training needs the backwards, too")
    return reasons


def _programs(answer: Any, ranks: int, expected: int) -> tuple[tuple[Action, ...], ...]:
    programs = answer.programs if isinstance(answer, Schedule) else answer
    if _is_list(programs):
        try:
            programs = [list(program) if _is_list(program) else program for program in programs]
        except Exception as error:  # a generator's
            raise Refused(in_a_line(error)) from error
    if not isinstance(programs, list) or not all(isinstance(program, list) for program in programs):
        raise Refused(f"it returns {answer!r:.40}; one list of actions per rank is wanted")
    if len(programs) != ranks:
        raise Refused(f"it returns {len(programs)} lists; one per rank is wanted, {ranks}")
    if (count := sum(map(len, programs))) > 10 * expected + 100:
        raise Refused(f"it returns {count} actions; {expected} are about right")
    try:
        return tuple(tuple(map(_action, program)) for program in programs)
    except ValueError as error:
        raise Refused(str(error)) from None


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | dict)


def _action(text: Any) -> Action:
    if isinstance(text, Action):
        return text
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(f"{str(text)[:_LONGEST]!r} is not an action; actions are text, such as '2F3'")
    return Action.parse(text)


def whole_numbers(answer: Any, length: int, who: str, what: str, each: str) -> list[int]:
    """A list of that many whole numbers. Refused, with what it is instead, for anything else."""

    def refused(reason: str) -> Refused:
        return Refused(reason, title="Not right yet")

    if answer is None:
        raise refused(f"{who} returns None; return {what}")
    try:
        values = as_array(answer).tolist() if hasattr(answer, "shape") else list(answer)
    except TypeError:
        raise refused(f"{who} is {answer!r}, {type(answer).__name__}; {what} is wanted, as a list") from None
    if not isinstance(values, list) or len(values) != length:
        has = f"{len(values)} entries" if isinstance(values, list) else "one number"
        raise refused(f"{who} has {has}; {what} is wanted, and there are {length} {each}")
    for place, value in enumerate(values):
        try:
            whole = int(value) == value
        except (TypeError, ValueError, OverflowError):
            whole = False
        if not whole:
            raise refused(f"entry {place} of {who} is {value!r}, which is no whole number")
    return [int(value) for value in values]
