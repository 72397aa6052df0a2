"""Theory: the closed forms of the literature, per schedule, for equal costs on every stage and free messages.

Property tests hold each of them against the simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isclose
from typing import Any

from ...ir import at_least
from ...schedules import options_of
from ..costs import divided, number
from .base import StageCosts, Theory
from .both_ends import dualpipe, dualpipe_v
from .whole import gpipe, interleaved, naive, one_f_one_b
from .zero_bubble import zb_h1, zb_h2, zb_v

__all__ = ["THEORY", "Theory", "theory"]

THEORY: dict[str, Callable[..., Theory]] = {
    "naive": naive,
    "gpipe": gpipe,
    "1f1b": one_f_one_b,
    "interleaved": interleaved,
    "zb-h1": zb_h1,
    "zb-h2": zb_h2,
    "zb-v": zb_v,
    "dualpipe": dualpipe,
    "dualpipe-v": dualpipe_v,
}


def theory(
    name: str,
    ranks: int,
    microbatches: int,
    forward: Any = 1,
    backward: Any = None,
    *,
    backward_input: Any = None,
    backward_weight: Any = None,
    overlapped: Any = None,
    chunks: int | None = None,
) -> Theory:
    """The closed forms of the schedule of that name. Costs are numbers, of one stage-action, the same on all stages.

    backward         the whole backward; None: I + W
    backward_input, backward_weight
                     its parts, I and W; None: what is left of the backward, or half of it; without a backward, 1
    overlapped       an overlapped pair; None: F + B, no gain
    chunks           stages per rank, of interleaved only (default 2)

    ValueError for an unknown name; for sizes that the schedule is not made for, or the closed form (zb-v: fewer than
    2P-1 micro-batches); for costs that are negative, no number, or don't fit together.

    >>> theory("1f1b", 4, 8).makespan
    33
    >>> dualpipe = theory("dualpipe", 8, 20, backward_weight=3, overlapped=5)
    >>> dualpipe.formulas["published bubble"], dualpipe.formulas["k"], dualpipe.published_bubble, dualpipe.bubble
    ('k·(F&B+B-3·W)', 'P/2-1', 0, 6)
    """
    if name not in THEORY:
        raise ValueError(f"no closed form for {name!r}; there are {', '.join(THEORY)}")
    ranks, microbatches = at_least(1, ranks, "ranks"), at_least(1, microbatches, "micro-batches")
    options = options_of(name, chunks)
    f = _one(forward, "forward")
    b, i, w = _backward(backward, backward_input, backward_weight)
    costs = StageCosts(f, b, i, w, f + b if overlapped is None else _one(overlapped, "overlapped"))
    return THEORY[name](ranks, microbatches, costs, **options)


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
    return number(cost, name)
