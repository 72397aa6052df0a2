"""ZB-V: two stages a rank, down the ranks and back up, so that rank 0 has first and last."""

from itertools import chain

from ..amounts import at_least
from ..ir import Schedule, v_shape
from ..ir.codes import microbatch_of
from .building_blocks import Stream, stream, turns
from .closed_form import StageCosts, Theory, equally_idle
from .registry import register


def zb_v(ranks: int, microbatches: int) -> Schedule:
    """No bubble inside a rank's own span where F = I = W, with 1F1B's memory.

    At most 2P activations, of stages that are half as long as 1F1B's.

    Parameters
    ----------
    ranks, microbatches : int
        P and M, each at least 1. The order is made for M ≥ 2P-1; of fewer, the missing ones are left out of it.

    Examples
    --------
    >>> print(zb_v(2, 3))
    zb-v: 2 ranks, 4 stages, 3 micro-batches
    rank 0  0F0 0F1 0F2 3F0 3I0 3W0 3F1 3I1 3W1 0I0 0W0 3F2 3I2 3W2 0I1 0W1 0I2 0W2
    rank 1  1F0 2F0 1F1 2F1 2I0 2W0 1F2 1I0 1W0 2F2 2I1 2W1 1I1 2I2 1I2 1W1 2W2 1W2

    References
    ----------
    Qi et al., arXiv 2405.15362.
    """
    placement = v_shape(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    full = max(microbatches, 2 * ranks - 1)
    programs = (_program(rank, ranks, full) for rank in range(ranks))
    if full > microbatches:
        programs = ((each for each in program if microbatch_of(each) < microbatches) for program in programs)
    return Schedule("zb-v", placement, microbatches, programs)


def _program(rank: int, ranks: int, microbatches: int) -> Stream:
    down, up = rank, 2 * ranks - 1 - rank
    f0, i0, w0, f1, i1, w1 = (stream(kind, stage, range(microbatches)) for stage in (down, up) for kind in "FIW")
    below = ranks - 1 - rank
    return chain(
        turns(2 * below + 1, f0),  # Warm-up: until the first micro-batch comes back up,
        turns(rank, f1, f0),  # until it is through the last stage,
        turns(below + 1, f1, i1, w1),  # and until its gradient has gone down and come back up.
        turns(microbatches - 2 * ranks + 1 + rank, f0, i0, w0, f1, i1, w1),  # Steady.
        turns(below, i0, w0, f1, i1, w1),  # Drain: no micro-batch is left to enter.
        turns(rank, i0, i1),  # What other ranks wait for goes first,
        turns(below + 1, i0, w0),
        turns(rank, w1),  # what nobody waits for last.
        turns(rank, w0),
    )


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """No bubble in a rank's own span where F = I = W (arXiv 2405.15362).

    In the whole step the bubble is then (P-1)F, of stages that are half as long as ZB-H1's. It grows quickly where they
    differ: it is the largest of several chains of actions, each waiting for the one before. ValueError for fewer than
    2P-1 micro-batches, for which this order is not made.
    """
    if microbatches < 2 * ranks - 1:
        raise ValueError(
            f"the closed form of zb-v holds from {2 * ranks - 1} micro-batches on (2P-1 for {ranks} ranks); "
            f"got {microbatches}"
        )
    f, _, i, w, _ = costs
    k = ranks - 1
    chains = [
        k * i,
        2 * k * (i - w),
        i + (k - 1) * w,
        f + (k - 1) * w,
        (2 * k - 1) * f + i - 2 * k * w,
        (2 * k - 1) * f - (k - 1) * i,
        2 * k * f - k * i - w,
        2 * k * f - (2 * k + 1) * w,
    ]
    return equally_idle(
        ranks,
        microbatches,
        costs,
        bubble=max(chains) if k else 0,
        chunks=2,
        published_bubble=0,
        peak_activations=(2 * ranks,) * ranks,
        messages=4 * microbatches * (ranks - 1),
        formulas={
            "makespan": "2·M·(F+B) + bubble",
            "bubble": "max(k·I, 2·k·(I-W), I + (k-1)·W, F + (k-1)·W, (2·k-1)·F + I - 2·k·W, (2·k-1)·F - (k-1)·I, "
            "2·k·F - k·I - W, 2·k·F - (2·k+1)·W)",
            "k": "P-1",
            "published bubble": "0",
            "peak activations": "2·P",
            "messages": "4·M·(P-1)",
        },
        assumes="The published bubble is that of one rank from its first action to its last, where F = I = W; then the "
        "bubble of the whole step is (P-1)·F. F, I and W are those of one of the 2P stages; M ≥ 2P-1.",
    )


register("zb-v", zb_v, closed_form=closed_form, lesson=5, stages_per_rank=2)
