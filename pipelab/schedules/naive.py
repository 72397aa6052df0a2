"""Naive: one micro-batch through all stages and back, then the next."""

from ..amounts import at_least
from ..ir import Schedule, linear
from .building_blocks import stream, turns
from .closed_form import StageCosts, Theory, equally_idle
from .registry import register


def naive(ranks: int, microbatches: int) -> Schedule:
    """Model parallelism without a pipeline: only one rank works at any time.

    Makespan M·P·(F+B), of which each rank idles (P-1)/P.

    Parameters
    ----------
    ranks, microbatches : int
        P and M, each at least 1.

    Examples
    --------
    >>> print(naive(2, 2))
    naive: 2 ranks, 2 stages, 2 micro-batches
    rank 0  0F0 0B0 0F1 0B1
    rank 1  1F0 1B0 1F1 1B1
    """
    placement = linear(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    every = range(microbatches)
    programs = (turns(microbatches, stream("F", rank, every), stream("B", rank, every)) for rank in range(ranks))
    return Schedule("naive", placement, microbatches, programs)


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """One micro-batch at a time: makespan M·P·(F+B)."""
    bubble = microbatches * (ranks - 1) * costs.both
    formulas = {"makespan": "M·P·(F+B)", "bubble": "M·(P-1)·(F+B)", "peak activations": "1"}
    return equally_idle(ranks, microbatches, costs, bubble, formulas, peak_activations=(1,) * ranks)


register("naive", naive, closed_form=closed_form, lesson=1)
