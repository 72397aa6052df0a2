"""Naive: one micro-batch through all stages and back, then the next."""

from ..ir import Action, Schedule, at_least, linear


def naive(ranks: int, microbatches: int) -> Schedule:
    """Model parallelism without a pipeline: only one rank works at any time.

    Makespan M·P·(F+B), bubble (P-1)/P. ValueError for fewer than one rank or micro-batch.

    >>> print(naive(2, 2))
    naive: 2 ranks, 2 stages, 2 micro-batches
    rank 0  0F0 0B0 0F1 0B1
    rank 1  1F0 1B0 1F1 1B1
    """
    placement = linear(ranks)
    at_least(1, microbatches, "micro-batches")
    programs = (tuple(Action(kind, rank, m) for m in range(microbatches) for kind in "FB") for rank in range(ranks))
    return Schedule("naive", placement, microbatches, tuple(programs))
