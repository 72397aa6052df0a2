"""DualPipeV: DualPipe cut in half and folded to a V, so that every parameter is there once."""

from dataclasses import replace
from itertools import chain

from ..amounts import at_least
from ..ir import Schedule, v_shape
from .closed_form import StageCosts, Theory
from .dualpipe import closed_form as closed_form_of_both_halves, eight_phases, require_full
from .registry import register


def dualpipe_v(ranks: int, microbatches: int) -> Schedule:
    """The first half of DualPipe's ranks; what would come from the other half comes back from the fold.

    Rank r holds the stages r and 2P-1-r, and does what rank r of DualPipe on 2P ranks does for 2M micro-batches. So 2P
    stages need only P ranks, and one copy of the parameters, for the same time per micro-batch and rank; at most 2P+1
    activations.

    Parameters
    ----------
    ranks : int
        P, at least 1.
    microbatches : int
        M, at least 2P.

    Examples
    --------
    >>> for program in dualpipe_v(1, 2).programs:
    ...     print(*program)
    0F0 1F0 0F1 1B0 (1F1;0B0)OVERLAP_F_B 1B1 0I1 0W1

    References
    ----------
    deepseek-ai/DualPipe on GitHub, dualpipev.py, after Sea AI Lab's "cut in half".
    """
    placement = v_shape(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    require_full("DualPipeV", ranks, microbatches)
    every = range(microbatches)
    programs = (chain(*eight_phases(ranks, rank, every, every)) for rank in range(ranks))
    return Schedule("dualpipe-v", placement, microbatches, programs)


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """DualPipe's for 2P ranks and 2M micro-batches, and one copy of the parameters.

    ValueError for fewer than 2P micro-batches, and for F&B shorter than F or B.
    """
    require_full("DualPipeV", ranks, microbatches)
    unfolded = closed_form_of_both_halves(2 * ranks, 2 * microbatches, costs)
    return replace(
        unfolded,
        idle=unfolded.idle[:ranks],
        peak_activations=unfolded.peak_activations[:ranks],
        parameters=1,
        messages=4 * microbatches * (ranks - 1),
        formulas=unfolded.formulas
        | {
            "makespan": "(2·P+1)·(F+B) + (2·M-2·P-1)·F&B + bubble",
            "k": "P-1",
            "peak activations": "2·P+1",
            "messages": "4·M·(P-1)",
        },
        assumes=unfolded.assumes + " All costs are those of one of the 2P stages.",
    )


register("dualpipe-v", dualpipe_v, closed_form=closed_form, lesson=8, stages_per_rank=2, middle=lambda ranks: ranks - 1)
