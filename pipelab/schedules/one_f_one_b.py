"""1F1B: one forward, one backward, so that no rank holds more activations than it must."""

from ..ir import Action, Schedule, at_least, linear


def one_f_one_b(ranks: int, microbatches: int) -> Schedule:
    """PipeDream-Flush (Narayanan et al., arXiv 2006.09503), the non-interleaved 1F1B of Megatron-LM (arXiv 2104.04473).

    Rank r warms up with P-1-r forwards, then alternates one forward and one backward, then drains. GPipe's bubble,
    (P-1)(F+B), but at most min(P-r, M) activations on rank r. ValueError for fewer than one rank or micro-batch.

    >>> print(one_f_one_b(2, 3))
    1f1b: 2 ranks, 2 stages, 3 micro-batches
    rank 0  0F0 0F1 0B0 0F2 0B1 0B2
    rank 1  1F0 1B0 1F1 1B1 1F2 1B2
    """
    placement = linear(ranks)
    at_least(1, microbatches, "micro-batches")
    programs = (_program(rank, ranks, microbatches) for rank in range(ranks))
    return Schedule("1f1b", placement, microbatches, tuple(programs))


def _program(rank: int, ranks: int, microbatches: int) -> tuple[Action, ...]:
    forward = [Action("F", rank, m) for m in range(microbatches)]
    backward = [Action("B", rank, m) for m in range(microbatches)]
    warmup = min(ranks - 1 - rank, microbatches)
    steady = zip(forward[warmup:], backward, strict=False)
    drain = backward[microbatches - warmup :]
    return (*forward[:warmup], *(action for pair in steady for action in pair), *drain)
