"""GPipe: all forwards, then all backwards."""

from itertools import chain
from typing import Any

from ..amounts import at_least
from ..ir import Schedule, linear
from .building_blocks import stream
from .closed_form import StageCosts, Theory, equally_idle
from .registry import register


def gpipe(ranks: int, microbatches: int) -> Schedule:
    """All micro-batches forward, then all backward, in the same order.

    Bubble (P-1)(F+B), whatever M; every rank holds M activations.

    Parameters
    ----------
    ranks, microbatches : int
        P and M, each at least 1.

    Examples
    --------
    >>> print(gpipe(2, 2))
    gpipe: 2 ranks, 2 stages, 2 micro-batches
    rank 0  0F0 0F1 0B0 0B1
    rank 1  1F0 1F1 1B0 1B1

    References
    ----------
    Huang et al., arXiv 1811.06965.
    """
    placement = linear(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    every = range(microbatches)
    programs = (chain(stream("F", rank, every), stream("B", rank, every)) for rank in range(ranks))
    return Schedule("gpipe", placement, microbatches, programs)


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Bubble (P-1)(F+B), M activations (arXiv 1811.06965)."""
    return filled_once(ranks, microbatches, costs, peak_activations=(microbatches,) * ranks, peak="M")


def filled_once(ranks: int, microbatches: int, costs: StageCosts, peak: str, **more: Any) -> Theory:
    """The pipeline fills and empties once, over P stages. peak: the text of `peak_activations`."""
    formulas = {"makespan": "(M+P-1)·(F+B)", "bubble": "(P-1)·(F+B)", "peak activations": peak}
    return equally_idle(ranks, microbatches, costs, (ranks - 1) * costs.both, formulas, **more)


register("gpipe", gpipe, closed_form=closed_form, lesson=2)
