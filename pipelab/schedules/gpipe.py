"""GPipe: all forwards, then all backwards."""

from ..ir import Action, Schedule, at_least, linear


def gpipe(ranks: int, microbatches: int) -> Schedule:
    """All micro-batches forward, then all backward, in the same order (Huang et al., arXiv 1811.06965).

    Bubble (P-1)(F+B) whatever M; every rank holds M activations. ValueError for fewer than one rank or micro-batch.

    >>> print(gpipe(2, 2))
    gpipe: 2 ranks, 2 stages, 2 micro-batches
    rank 0  0F0 0F1 0B0 0B1
    rank 1  1F0 1F1 1B0 1B1
    """
    placement = linear(ranks)
    at_least(1, microbatches, "micro-batches")
    programs = (tuple(Action(kind, rank, m) for kind in "FB" for m in range(microbatches)) for rank in range(ranks))
    return Schedule("gpipe", placement, microbatches, tuple(programs))
