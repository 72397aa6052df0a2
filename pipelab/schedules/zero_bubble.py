"""Zero bubble: backward is split in I, for which other ranks wait, and W, which can wait itself."""

from ..ir import Action, Schedule, at_least, linear, v_shape
from .building_blocks import all_at_once, stream, turns


@all_at_once
def zb_h1(ranks: int, microbatches: int) -> Schedule:
    """ZB-H1: a third of 1F1B's bubble with 1F1B's memory (Qi et al., arXiv 2401.10241).

    1F1B's order of F and I, with each W put off: on rank r it follows the r-th I after its own. Bubble (P-1)(F+I-W),
    at most P activations on every rank. ValueError for fewer than one rank or micro-batch.

    >>> print(zb_h1(2, 3))
    zb-h1: 2 ranks, 2 stages, 3 micro-batches
    rank 0  0F0 0F1 0I0 0W0 0F2 0I1 0W1 0I2 0W2
    rank 1  1F0 1I0 1F1 1I1 1W0 1F2 1I2 1W1 1W2
    """
    return _put_off("zb-h1", ranks, microbatches, per_rank=1)


@all_at_once
def zb_h2(ranks: int, microbatches: int) -> Schedule:
    """ZB-H2: no rank idle between its first action and its last, for twice the memory (Qi et al., arXiv 2401.10241).

    ZB-H1 with twice the forwards in the warm-up and each W put off twice as far: at most 2P-1 activations on every
    rank. Where F = I = W a rank that has started works until it is done; but rank r starts r·F later than rank 0, so
    that the makespan is ZB-H1's. ValueError for fewer than one rank or micro-batch.

    >>> print(zb_h2(2, 3))
    zb-h2: 2 ranks, 2 stages, 3 micro-batches
    rank 0  0F0 0F1 0F2 0I0 0W0 0I1 0W1 0I2 0W2
    rank 1  1F0 1I0 1F1 1I1 1F2 1I2 1W0 1W1 1W2
    """
    return _put_off("zb-h2", ranks, microbatches, per_rank=2)


def _put_off(name: str, ranks: int, microbatches: int, per_rank: int) -> Schedule:
    """Rank r warms up with `per_rank` forwards for each rank below it, and puts off as many W for each rank above."""
    placement = linear(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "micro-batches")
    programs = []
    for rank in range(ranks):
        forward, backward_input, weight = ([*stream(kind, rank, range(microbatches))] for kind in "FIW")
        warmup, late = min(per_rank * (ranks - 1 - rank), microbatches), min(per_rank * rank, microbatches)
        program = forward[:warmup]
        for m in range(microbatches):
            program += forward[warmup + m : warmup + m + 1]  # none in the drain
            program.append(backward_input[m])
            program += weight[m - late : m - late + 1] if m >= late else []
        programs.append((*program, *weight[microbatches - late :]))
    return Schedule(name, placement, microbatches, tuple(programs))


@all_at_once
def zb_v(ranks: int, microbatches: int) -> Schedule:
    """ZB-V: two stages a rank, down the ranks and back up, so that rank 0 has first and last (Qi et al., 2405.15362).

    No bubble inside a rank's own span where F = I = W, with 1F1B's memory: at most 2P activations of stages that are
    half as long. The order is made for 2P-1 micro-batches or more; of fewer, those that are not there are left out of
    it. ValueError for fewer than one rank or micro-batch.

    >>> print(zb_v(2, 3))
    zb-v: 2 ranks, 4 stages, 3 micro-batches
    rank 0  0F0 0F1 0F2 3F0 3I0 3W0 3F1 3I1 3W1 0I0 0W0 3F2 3I2 3W2 0I1 0W1 0I2 0W2
    rank 1  1F0 2F0 1F1 2F1 2I0 2W0 1F2 1I0 1W0 2F2 2I1 2W1 1I1 2I2 1I2 1W1 2W2 1W2
    """
    placement = v_shape(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "micro-batches")
    full = max(microbatches, 2 * ranks - 1)
    programs = (_v_program(rank, ranks, full) for rank in range(ranks))
    there = (tuple(action for action in program if action.microbatch < microbatches) for program in programs)
    return Schedule("zb-v", placement, microbatches, tuple(there))


def _v_program(rank: int, ranks: int, microbatches: int) -> list[Action]:
    down, up = rank, 2 * ranks - 1 - rank
    f0, i0, w0, f1, i1, w1 = (stream(kind, stage, range(microbatches)) for stage in (down, up) for kind in "FIW")
    below = ranks - 1 - rank
    return [
        *turns(2 * below + 1, f0),  # Warm-up: until the first micro-batch comes back up,
        *turns(rank, f1, f0),  # until it is through the last stage,
        *turns(below + 1, f1, i1, w1),  # and until its gradient has gone down and come back up.
        *turns(microbatches - 2 * ranks + 1 + rank, f0, i0, w0, f1, i1, w1),  # Steady.
        *turns(below, i0, w0, f1, i1, w1),  # Drain: no micro-batch is left to enter.
        *turns(rank, i0, i1),  # What other ranks wait for goes first,
        *turns(below + 1, i0, w0),
        *turns(rank, w1),  # what nobody waits for last.
        *turns(rank, w0),
    ]
