"""1F1B: one forward, one backward, so that no rank holds more activations than it must."""

from itertools import chain

from ..amounts import at_least
from ..ir import Schedule, linear
from .building_blocks import Stream, stream, turns
from .closed_form import StageCosts, Theory
from .gpipe import filled_once
from .registry import register


def one_f_one_b(ranks: int, microbatches: int) -> Schedule:
    """PipeDream-Flush, the non-interleaved 1F1B of Megatron-LM.

    Rank r warms up with P-1-r forwards, then alternates one forward and one backward, then drains. GPipe's bubble,
    (P-1)(F+B), but at most min(P-r, M) activations on rank r.

    Parameters
    ----------
    ranks, microbatches : int
        P and M, each at least 1.

    Examples
    --------
    >>> print(one_f_one_b(2, 3))
    1f1b: 2 ranks, 2 stages, 3 micro-batches
    rank 0  0F0 0F1 0B0 0F2 0B1 0B2
    rank 1  1F0 1B0 1F1 1B1 1F2 1B2

    References
    ----------
    Narayanan et al., arXiv 2006.09503; Megatron-LM: arXiv 2104.04473.
    """
    placement = linear(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    programs = (_program(rank, ranks, microbatches) for rank in range(ranks))
    return Schedule("1f1b", placement, microbatches, programs)


def _program(rank: int, ranks: int, microbatches: int) -> Stream:
    forward, backward = (stream(kind, rank, range(microbatches)) for kind in "FB")
    warmup = min(ranks - 1 - rank, microbatches)
    return chain(turns(warmup, forward), turns(microbatches - warmup, forward, backward), backward)


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """GPipe's bubble, but min(P-r, M) activations on rank r (arXiv 2006.09503)."""
    held = tuple(min(ranks - rank, microbatches) for rank in range(ranks))
    return filled_once(ranks, microbatches, costs, peak_activations=held, peak="min(P-r, M)")


register("1f1b", one_f_one_b, closed_form=closed_form, lesson=3)
