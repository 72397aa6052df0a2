"""Reading: a schedule, or whole numbers, from what a function returned; or why there is nothing of that kind in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from ...amounts import at_least
from ...ir import Action, Schedule, from_csv
from ..isolation.runner import plain
from .judge import Refused

Builder = Callable[[int, int], Schedule | Iterable[Iterable[Action | str]]]

_LONGEST = 64  # characters of an action: a pair with numbers of many digits
_NAME = "yours"
_NOT_ASKED_FOR = "Not the schedule that was asked for"
_FORWARD_ONLY = "it is forward only; training needs the backwards, too"


def schedule_of(fn: Builder, ranks: int, microbatches: int, *, name: str = _NAME) -> Schedule:
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
    ranks, microbatches = at_least(1, ranks, "ranks"), at_least(1, microbatches, "microbatches")
    return replace(read_free(plain(fn(ranks, microbatches)), ranks, microbatches), name=name)


def read_like(answer: Any, reference: Schedule) -> Schedule:
    """A schedule of the same pipeline as the reference. Refused, with what is wanted, for anything else."""
    if isinstance(answer, dict) and "programs" in answer and (reasons := _different(answer, plain(reference))):
        raise Refused(*reasons, title=_NOT_ASKED_FOR)
    programs = _programs(answer, reference.num_ranks, sum(map(len, reference.programs)))
    return replace(reference, name=_NAME, programs=programs)


def read_free(answer: Any, ranks: int, microbatches: int) -> Schedule:
    """A schedule of any placement on so many ranks: its actions tell. Refused where there is none."""
    programs = _programs(answer, ranks, 3 * ranks * microbatches)
    try:
        schedule = from_csv("\n".join(",".join(map(str, program)) for program in programs), name=_NAME)
    except ValueError as error:
        raise Refused(str(error)) from None
    if (schedule.num_ranks, schedule.num_microbatches) != (ranks, microbatches):
        raise Refused(
            f"it is for {schedule.num_ranks} ranks and {schedule.num_microbatches} micro-batches; "
            f"{ranks} and {microbatches} are wanted",
            title=_NOT_ASKED_FOR,
        )
    if not schedule.training:
        raise Refused(_FORWARD_ONLY, title=_NOT_ASKED_FOR)
    return schedule


def _different(given: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Why these Schedules are not of the same pipeline; then it means nothing which of them is faster."""
    reasons = [
        f"its number of {what} is {given.get(what)!s:.40}; {wanted[what]} is wanted"
        for what in ("ranks", "stages", "micro-batches")
        if given.get(what) != wanted[what]
    ]
    if not reasons and given.get("routes") != wanted["routes"]:
        reasons.append(f"its stages lie on the ranks {given.get('routes')!s:.200}; they belong on {wanted['routes']}")
    if not given.get("training"):
        reasons.append(_FORWARD_ONLY)
    return reasons


def _programs(answer: Any, ranks: int, expected: int) -> tuple[tuple[Action, ...], ...]:
    programs = answer.get("programs") if isinstance(answer, dict) else answer
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


def _action(text: Any) -> Action:
    if not isinstance(text, str) or len(text) > _LONGEST:
        raise ValueError(f"{str(text)[:_LONGEST]!r} is not an action; actions are text, such as '2F3'")
    return Action.parse(text)


def whole_numbers(answer: Any, length: int, who: str, what: str, each: str) -> list[int]:
    """A list of that many whole numbers. Refused, with what it is instead, for anything else."""

    def refused(reason: str) -> Refused:
        return Refused(reason, title="Not right yet")

    if answer is None:
        raise refused(f"{who} returns None; return {what}")
    if not isinstance(answer, list):
        raise refused(f"{who} is {answer!r:.40}, {type(answer).__name__}; {what} is wanted, as a list")
    if len(answer) != length:
        raise refused(f"{who} has {len(answer)} entries; {what} is wanted, and there are {length} {each}")
    for place, value in enumerate(answer):
        if not isinstance(value, int | float) or value % 1 != 0:  # NaN and inf have a remainder that is NaN
            raise refused(f"entry {place} of {who} is {value!r:.40}, which is no whole number")
    return [*map(int, answer)]
