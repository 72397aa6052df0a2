"""ZB-H2: ZB-H1 with more forwards ahead, so that a rank that has started never waits."""

from ..ir import Schedule
from .closed_form import StageCosts, Theory
from .registry import register
from .zb_h1 import put_off, put_off_form


def zb_h2(ranks: int, microbatches: int) -> Schedule:
    """No rank is idle between its first action and its last, for twice the memory.

    ZB-H1 with twice the forwards in the warm-up and each W put off twice as far: at most 2P-1 activations on every
    rank. Where F = I = W a rank that has started works until it is done; but rank r starts r·F later than rank 0, so
    that the makespan is ZB-H1's.

    Parameters
    ----------
    ranks, microbatches : int
        P and M, each at least 1.

    Examples
    --------
    >>> print(zb_h2(2, 3))
    zb-h2: 2 ranks, 2 stages, 3 micro-batches
    rank 0  0F0 0F1 0F2 0I0 0W0 0I1 0W1 0I2 0W2
    rank 1  1F0 1I0 1F1 1I1 1F2 1I2 1W0 1W1 1W2

    References
    ----------
    Qi et al., arXiv 2401.10241.
    """
    return put_off("zb-h2", ranks, microbatches, per_rank=2)


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Published bubble (P-1)(F+I-2W), but of a rank's own span (arXiv 2401.10241).

    Where F = I = W that is 0. In the whole step the last rank starts (P-1)F late whatever it does later, so that the
    bubble is (P-1)·max(F, I-F, F+I-2W) from M = 2P-1 on: where F = I = W, that of ZB-H1.
    """
    f, _, i, w, _ = costs
    return put_off_form(
        ranks,
        microbatches,
        costs,
        per_rank=2,
        published_bubble=(ranks - 1) * (f + i - 2 * w),
        formulas={
            "bubble": "(P-1)·max(F, I-F, F+I-2·W)",
            "published bubble": "(P-1)·(F+B-3·W)",
            "peak activations": "min(2·P-1, M)",
        },
        assumes="The published bubble is that of one rank from its first action to its last; of the whole step it is "
        "the bubble where 2W ≤ min(I, 2F). The text of the bubble holds from M = 2P-1 on.",
    )


register("zb-h2", zb_h2, closed_form=closed_form, lesson=5)
