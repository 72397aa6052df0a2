"""Interleaved 1F1B: several short stages per rank, so that a round through the ranks, and the bubble, is shorter."""

from itertools import chain, pairwise

from ..amounts import at_least
from ..ir import Schedule, looped
from .building_blocks import Stream, stream, turns
from .closed_form import StageCosts, Theory, equally_idle
from .registry import register


def interleaved_1f1b(ranks: int, microbatches: int, *, chunks: int = 2) -> Schedule:
    """1F1B over V = `chunks` stages per rank, stage s on rank s mod P.

    Micro-batches go in groups of at least P: a rank takes a group through its first chunk, then through its second, and
    so on, and back from the last chunk to the first. Rank r warms up with (V-1) groups and 2(P-1-r) forwards. Bubble
    (P-1)(F+B) of stages that are 1/V as long as 1F1B's; but V times the messages, and more activations.

    Parameters
    ----------
    ranks, microbatches : int
        P and M, each at least 1.
    chunks : int
        V, at least 1.

    Notes
    -----
    M need not be a multiple of P, as in the paper: the groups are then of two sizes, the larger ones first. (With P in
    every group but the last, a rank would wait in it for what it has yet to start, in the worst case for ever.)

    Examples
    --------
    >>> print(interleaved_1f1b(2, 2))
    interleaved: 2 ranks, 4 stages, 2 micro-batches
    rank 0  0F0 0F1 2F0 2F1 2B0 2B1 0B0 0B1
    rank 1  1F0 1F1 3F0 3B0 3F1 3B1 1B0 1B1

    References
    ----------
    Narayanan et al., arXiv 2104.04473.
    """
    placement = looped(ranks, chunks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    groups, stages = groups_of(ranks, microbatches), range(placement.num_stages)
    programs = (_program(stages[rank::ranks], ranks - 1 - rank, groups) for rank in range(ranks))
    return Schedule("interleaved", placement, microbatches, programs)


def groups_of(ranks: int, microbatches: int) -> list[range]:
    """As many groups of at least P micro-batches as possible, as even as possible; one group where M < P."""
    count = max(1, microbatches // ranks)
    smaller, larger = divmod(microbatches, count)
    starts = [group * smaller + min(group, larger) for group in range(count + 1)]
    return [range(start, end) for start, end in pairwise(starts)]


def _program(stages: range, below: int, groups: list[range]) -> Stream:
    """Of a rank with these stages, and so many ranks below it."""
    forward = chain.from_iterable(stream("F", stage, group) for group in groups for stage in stages)
    backward = chain.from_iterable(stream("B", stage, group) for group in groups for stage in reversed(stages))
    count = len(stages) * groups[-1].stop
    warmup = min((len(stages) - 1) * len(groups[0]) + 2 * below, count)
    return chain(turns(warmup, forward), turns(count - warmup, forward, backward), backward)


def closed_form(ranks: int, microbatches: int, costs: StageCosts, chunks: int) -> Theory:
    """The bubble of 1F1B, of stages that are 1/V as long (arXiv 2104.04473).

    Theirs is for a multiple of P micro-batches. With groups as this schedule's it holds from P on. Fewer than P leave
    gaps each time that they go round the ranks, (V-1)(P-M)(F+B) in all.
    """
    chunks = at_least(1, chunks, "chunks")
    first_group = len(groups_of(ranks, microbatches)[0])
    published = (ranks - 1) * costs.both
    bubble = published + (chunks - 1) * max(0, ranks - microbatches) * costs.both
    return equally_idle(
        ranks,
        microbatches,
        costs,
        bubble,
        chunks=chunks,
        published_bubble=published,
        peak_activations=tuple(
            min((chunks - 1) * first_group + 2 * (ranks - 1 - rank) + 1, microbatches * chunks) for rank in range(ranks)
        ),
        messages=2 * microbatches * (ranks * chunks - 1) if ranks > 1 else 0,
        formulas={
            "makespan": "(M·V+P-1 + (V-1)·max(0, P-M))·(F+B)",
            "bubble": "(P-1 + (V-1)·max(0, P-M))·(F+B)",
            "published bubble": "(P-1)·(F+B)",
            "peak activations": "min((V-1)·G + 2·(P-1-r) + 1, M·V)",
            "G": "ceil(M / max(1, M // P))",
            "messages": "2·M·(P·V-1)",
        },
        assumes="The published bubble holds from M = P on. F and B are those of one of the P·V stages. "
        "G is the number of micro-batches in the first group.",
    )


register("interleaved", interleaved_1f1b, closed_form=closed_form, lesson=4, chunks=2)
