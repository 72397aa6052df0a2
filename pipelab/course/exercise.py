"""Exercise: check a student's number or schedule, and explain."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..ir import Action, Schedule, check, counted
from ..schedules import build
from ..simulator import Costs, simulate

SIZES = ((4, 8), (2, 2), (3, 5), (4, 2), (1, 3))  # (ranks, micro-batches): M above, equal to and below P


@dataclass(frozen=True)
class Feedback:
    """The answer of a check: passed, not, or nothing answered yet, and every reason. Shows itself in a notebook."""

    passed: bool
    title: str
    reasons: tuple[str, ...] = ()
    answered: bool = True

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        return "\n".join([f"{self._mark} {self.title}", *(f"  - {reason}" for reason in self.reasons)])

    __repr__ = __str__

    @property
    def _mark(self) -> str:
        return "✓" if self.passed else "✗" if self.answered else "…"

    def _repr_html_(self) -> str:
        colour = {"✓": "#009E73", "✗": "#D55E00", "…": "#787878"}[self._mark]
        items = "".join(f"<li>{html.escape(reason)}</li>" for reason in self.reasons)
        return (
            f'<div style="border-left: 4px solid {colour}; padding: 4px 12px">'
            f"<b>{self._mark} {html.escape(self.title)}</b>{f'<ul>{items}</ul>' if items else ''}</div>"
        )


def check_number(answer: Any, expected: float, *, why: str, hint: str = "", tolerance: float = 0.01) -> Feedback:
    """Compare a number, predicted or worked out, with the right one (relative tolerance, or absolute for 0).

    why: how the right number comes about, told once the answer is right. hint: told while it is not.
    """
    if answer is None or answer is ...:
        advice = "put a number in the place of the dots; a wrong one teaches more than none"
        return Feedback(False, "No answer yet", (advice,), answered=False)
    try:
        value = float(answer)
    except OverflowError:  # a whole number beyond floats
        value = math.inf if answer > 0 else -math.inf
    except Exception:  # a word, a list, a tensor: each raises its own
        return Feedback(False, f"{answer!r} is not a number", (hint,) if hint else ())
    if math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance if expected == 0 else 0):
        return Feedback(True, f"{value:g} is right", (why,))
    direction = "too large" if value > expected else "too small"
    return Feedback(
        False, f"{value:g} is {direction}" if value == value else "NaN is no answer", (hint,) if hint else ()
    )


Builder = Callable[[int, int], Schedule | Iterable[Iterable[Action | str]]]


def check_schedule(
    builder: Builder,
    *,
    like: str,
    memory: bool = False,
    sizes: Sequence[tuple[int, int]] = SIZES,
    costs: Costs | None = None,
) -> Feedback:
    """Check a student's schedule at several sizes: valid, and as fast as the schedule named `like`, placed as it is.

    builder  (ranks, micro-batches) -> a Schedule, or one list of actions per rank, such as ``["0F0", "0B0"]``
    memory   also require that no rank holds more activations than in the schedule named `like`
    """
    for ranks, microbatches in sizes:
        where = f"with {counted(ranks, 'rank')} and {counted(microbatches, 'micro-batch')}"
        reference = build(like, ranks, microbatches)
        try:
            schedule = _schedule(builder(ranks, microbatches), reference)
        except Exception as error:
            return Feedback(False, f"Your function fails {where}", (f"{type(error).__name__}: {error}",))
        if reasons := different(schedule, reference):
            return Feedback(False, f"Not the schedule that was asked for, {where}", tuple(reasons))
        if problems := check(schedule):
            shown = [str(problem) for problem in problems[:5]]
            more = [f"… and {len(problems) - 5} more"] if len(problems) > 5 else []
            return Feedback(False, f"Not a valid schedule yet, {where}", (*shown, *more))
        if reasons := _worse(schedule, reference, costs, memory):
            return Feedback(False, f"Valid, but not {like} yet, {where}", tuple(reasons))
    tried = ", ".join(f"{ranks}×{microbatches}" for ranks, microbatches in sizes)
    return Feedback(True, f"Right: as good as {like}", (f"checked at ranks × micro-batches = {tried}",))


def _schedule(answer: Any, reference: Schedule) -> Schedule:
    if isinstance(answer, Schedule):
        return answer
    if answer is None:
        raise ValueError("it returns None; return one list of actions per rank")
    programs = tuple(tuple(a if isinstance(a, Action) else Action.parse(a) for a in program) for program in answer)
    return replace(reference, name="yours", programs=programs)


def different(schedule: Schedule, reference: Schedule) -> list[str]:
    """What makes the two no schedules of one pipeline, so that it says nothing which of them is faster."""
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


def _worse(schedule: Schedule, reference: Schedule, costs: Costs | None, memory: bool) -> list[str]:
    """Why a valid schedule is worse than the reference."""
    mine, best = simulate(schedule, costs), simulate(reference, costs)
    reasons = []
    if mine.makespan > best.makespan and not math.isclose(mine.makespan, best.makespan):  # floats round
        reasons.append(f"it takes {mine.makespan} units of time; {reference.name} takes {best.makespan}")
        gap = max((gap for gap in mine.gaps() if gap.waits_for), key=lambda gap: gap.length, default=None)
        if gap:
            reasons.append(f"its longest gap, from {gap.start} to {gap.end}: {gap.reason}")
    if memory:
        for rank, (held, enough) in enumerate(zip(mine.peak_activations, best.peak_activations, strict=True)):
            if held > enough:
                reasons.append(
                    f"rank {rank} holds {held} activations at once; {enough} {'is' if enough == 1 else 'are'} enough"
                )
    return reasons
