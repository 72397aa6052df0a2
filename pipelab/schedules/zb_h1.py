"""ZB-H1: backward is split in I, for which other ranks wait, and W, which can wait and so fills the gaps."""

from itertools import chain
from typing import Any

from ..amounts import at_least
from ..ir import Schedule, linear
from .building_blocks import Stream, stream, turns
from .closed_form import StageCosts, Theory, equally_idle
from .registry import register


def zb_h1(ranks: int, microbatches: int) -> Schedule:
    """A third of 1F1B's bubble with 1F1B's memory.

    1F1B's order of F and I, with each W put off: on rank r it follows the r-th I after its own. Bubble (P-1)(F+I-W),
    at most P activations on every rank.

    Parameters
    ----------
    ranks, microbatches : int
        P and M, each at least 1.

    Examples
    --------
    >>> print(zb_h1(2, 3))
    zb-h1: 2 ranks, 2 stages, 3 micro-batches
    rank 0  0F0 0F1 0I0 0W0 0F2 0I1 0W1 0I2 0W2
    rank 1  1F0 1I0 1F1 1I1 1W0 1F2 1I2 1W1 1W2

    References
    ----------
    Qi et al., arXiv 2401.10241.
    """
    return put_off("zb-h1", ranks, microbatches, per_rank=1)


def put_off(name: str, ranks: int, microbatches: int, per_rank: int) -> Schedule:
    """Rank r warms up with `per_rank` forwards for each rank below it, and puts off as many W for each rank above."""
    placement = linear(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    programs = (
        _program(rank, microbatches, warmup=per_rank * (ranks - 1 - rank), late=per_rank * rank)
        for rank in range(ranks)
    )
    return Schedule(name, placement, microbatches, programs)


def _program(rank: int, microbatches: int, warmup: int, late: int) -> Stream:
    f, i, w = (stream(kind, rank, range(microbatches)) for kind in "FIW")
    late, left = min(late, microbatches), max(0, microbatches - warmup)  # left: forwards after the warm-up
    return chain(
        turns(warmup, f),
        turns(min(late, left), f, i),  # until the first W,
        turns(max(0, left - late), f, i, w),  # or until there is no F left; whichever comes first,
        turns(max(0, late - left), i),  # and then until the other.
        turns(microbatches - max(late, left), i, w),
        w,
    )


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Published bubble (P-1)(F+I-W); in general (P-1)·max(F, I, F+I-W) from M = P on (arXiv 2401.10241)."""
    f, _, i, w, _ = costs
    return put_off_form(
        ranks,
        microbatches,
        costs,
        per_rank=1,
        published_bubble=(ranks - 1) * (f + i - w),
        formulas={
            "bubble": "(P-1)·max(F, I, F+I-W)",
            "published bubble": "(P-1)·(F+B-2·W)",
            "peak activations": "min(P, M)",
        },
        assumes="The published bubble holds where W ≤ min(F, I); the text of the bubble, from M = P on.",
    )


def put_off_form(ranks: int, microbatches: int, costs: StageCosts, per_rank: int, **more: Any) -> Theory:
    """For any M and any F, I and W. Where M is large, the longest chain is one of the three in the formulas.

    The bubble is the largest of several: of the chains of actions, each waiting for the one before, that can be the
    longest.
    """
    f, _, i, w, _ = costs
    peak = min(per_rank * (ranks - 1) + 1, microbatches)
    chains = [
        # Down in the warm-up, all the last rank's work, up to rank r with the last gradient, and the W that r put off.
        (ranks - 1) * f + (ranks - 1 - rank) * i - (peak - min(peak, per_rank * rank + 1)) * w
        for rank in range(ranks)
    ]
    # Rank 0 has done what forwards it may before the first gradient comes.
    chains.append((ranks - 1) * i + (ranks - peak) * f)
    if per_rank == 2 and peak % 2 == 0:  # an even number below 2P-1: one more turns round in the middle of the ranks
        chains.append((ranks - 2) * f + (ranks - peak // 2) * i)
    return equally_idle(ranks, microbatches, costs, max(chains), peak_activations=(peak,) * ranks, **more)


register("zb-h1", zb_h1, closed_form=closed_form, lesson=5)
