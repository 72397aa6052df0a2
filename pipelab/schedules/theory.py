"""Theory: the closed form of a schedule by name, for equal costs on every stage and free messages.

Each form stands in its schedule's file. Property tests hold all of them against the simulation.
"""

from __future__ import annotations

from math import isclose
from typing import Any

from ..amounts import at_least, divided, nonnegative
from .closed_form import StageCosts, Theory
from .registry import SCHEDULES, registered


def theory(
    name: str,
    ranks: int,
    microbatches: int,
    *,
    forward: Any = 1,
    backward: Any = None,
    backward_input: Any = None,
    backward_weight: Any = None,
    overlapped: Any = None,
    chunks: int | None = None,
) -> Theory:
    """What the closed forms say of the schedule of that name.

    Costs are numbers, each of one stage-action and the same on all stages.

    Parameters
    ----------
    name : str
        One of `SCHEDULES`.
    ranks, microbatches : int
        P and M.
    forward : number
        F.
    backward : number, optional
        The whole backward. Default: I + W.
    backward_input, backward_weight : number, optional
        Its parts, I and W. Default: what is left of the backward, or half of it; without a backward, 1.
    overlapped : number, optional
        An overlapped pair, F&B. Default: F + B, no gain.
    chunks : int, optional
        Stages per rank, only where the schedule has a choice (interleaved; default 2).

    Raises
    ------
    ValueError
        For an unknown name; for sizes that the schedule, or its closed form, is not made for (zb-v: fewer than 2P-1
        micro-batches); for costs that are negative, not a number, or contradict each other.

    Examples
    --------
    >>> theory("1f1b", 4, 8).makespan
    33
    >>> dualpipe = theory("dualpipe", 8, 20, backward_weight=3, overlapped=5)
    >>> dualpipe.formulas["published bubble"], dualpipe.formulas["k"], dualpipe.published_bubble, dualpipe.bubble
    ('k·(F&B+B-3·W)', 'P/2-1', 0, 6)
    """
    known = [each for each in SCHEDULES if registered(each).closed_form]
    if name not in known:
        raise ValueError(f"no closed form for {name!r}; there are {', '.join(known)}")
    schedule = registered(name)
    ranks, microbatches = at_least(1, ranks, "ranks"), at_least(1, microbatches, "microbatches")
    options = schedule.options(chunks)
    f = _one(forward, "forward")
    b, i, w = _backward(backward, backward_input, backward_weight)
    costs = StageCosts(f, b, i, w, f + b if overlapped is None else _one(overlapped, "overlapped"))
    assert schedule.closed_form is not None
    return schedule.closed_form(ranks, microbatches, costs, **options)


def _backward(backward: Any, backward_input: Any, backward_weight: Any) -> tuple[Any, Any, Any]:
    """B, I and W from what is given of them."""
    i = None if backward_input is None else _one(backward_input, "backward_input")
    w = None if backward_weight is None else _one(backward_weight, "backward_weight")
    if backward is None:
        i, w = 1 if i is None else i, 1 if w is None else w
        return i + w, i, w
    b = _one(backward, "backward")
    if i is None:
        i = divided(b, 2) if w is None else b - w
    if w is None:
        w = b - i
    if min(i, w) < 0 or (i + w != b and not isclose(i + w, b)):
        raise ValueError(f"backward is {b}, but backward_input is {i} and backward_weight {w}: they must make it")
    return b, i, w


def _one(cost: Any, name: str) -> Any:
    if isinstance(cost, list | tuple):
        raise ValueError(f"{name} must be one number, as the closed forms take all stages to cost the same; got {cost}")
    return nonnegative(cost, name)
