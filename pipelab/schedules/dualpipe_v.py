"""DualPipeV: DualPipe cut in half and folded to a V, so that every parameter is there once."""

from itertools import chain

from ..ir import Schedule, at_least, v_shape
from .building_blocks import all_at_once
from .dualpipe import eight_phases, require_full


@all_at_once
def dualpipe_v(ranks: int, microbatches: int) -> Schedule:
    """DualPipeV (deepseek-ai/DualPipe on GitHub, after Sea AI Lab's "cut in half").

    Rank r holds the stages r and 2P-1-r, and does what rank r of DualPipe on 2P ranks does for 2M micro-batches: what
    would come from the other half of the ranks comes back from the fold. So 2P stages need only P ranks, and one copy
    of the parameters, for the same time per micro-batch and rank; at most 2P+1 activations. ValueError unless M is at
    least 2P.

    >>> for program in dualpipe_v(1, 2).programs:
    ...     print(*program)
    0F0 1F0 0F1 1B0 (1F1;0B0)OVERLAP_F_B 1B1 0I1 0W1
    """
    placement = v_shape(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "micro-batches")
    require_full("DualPipeV", ranks, microbatches)
    every = range(microbatches)
    programs = (tuple(chain(*eight_phases(ranks, rank, every, every))) for rank in range(ranks))
    return Schedule("dualpipe-v", placement, microbatches, tuple(programs))
