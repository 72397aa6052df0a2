"""Interleaved 1F1B: several short stages per rank, so that a round through the ranks, and the bubble, is shorter."""

from ..ir import Action, Schedule, at_least, looped
from .building_blocks import all_at_once, stream


@all_at_once
def interleaved_1f1b(ranks: int, microbatches: int, chunks: int = 2) -> Schedule:
    """1F1B over V = `chunks` stages per rank, stage s on rank s mod P (Narayanan et al., arXiv 2104.04473).

    Micro-batches go in groups of at least P: a rank takes a group through its first chunk, then through its second, and
    so on, and back from the last chunk to the first. Rank r warms up with (V-1) groups and 2(P-1-r) forwards. Bubble
    (P-1)(F+B) of stages that are 1/V as long as 1F1B's; but V times the messages, and more activations.

    M need not be a multiple of P: the groups are then of two sizes, the larger ones first. (With P in every group but
    the last, a rank would wait in it for what it has yet to start, at worst for ever.) ValueError for fewer than one
    rank, micro-batch or chunk.

    >>> print(interleaved_1f1b(2, 2))
    interleaved: 2 ranks, 4 stages, 2 micro-batches
    rank 0  0F0 0F1 2F0 2F1 2B0 2B1 0B0 0B1
    rank 1  1F0 1F1 3F0 3B0 3F1 3B1 1B0 1B1
    """
    placement = looped(ranks, chunks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "micro-batches")
    groups, stages = groups_of(ranks, microbatches), range(placement.num_stages)
    programs = (_program(stages[rank::ranks], ranks - 1 - rank, groups) for rank in range(ranks))
    return Schedule("interleaved", placement, microbatches, tuple(programs))


def groups_of(ranks: int, microbatches: int) -> list[range]:
    """As many groups of at least P micro-batches as there can be, as even as can be; one group where M < P."""
    count = max(1, microbatches // ranks)
    smaller, larger = divmod(microbatches, count)
    starts = [group * smaller + min(group, larger) for group in range(count + 1)]
    return [range(start, end) for start, end in zip(starts, starts[1:], strict=False)]


def _program(stages: range, below: int, groups: list[range]) -> tuple[Action, ...]:
    """Of a rank with these stages, and so many ranks below it."""
    forward = [action for group in groups for stage in stages for action in stream("F", stage, group)]
    backward = [action for group in groups for stage in reversed(stages) for action in stream("B", stage, group)]
    warmup = min((len(stages) - 1) * len(groups[0]) + 2 * below, len(forward))
    steady = zip(forward[warmup:], backward, strict=False)
    drain = backward[len(forward) - warmup :]
    return (*forward[:warmup], *(action for pair in steady for action in pair), *drain)
