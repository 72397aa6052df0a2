"""Closed forms of the schedules that do each backward whole: naive, GPipe, 1F1B, interleaved 1F1B."""

from __future__ import annotations

from ...ir import at_least
from ...schedules.interleaved import groups_of
from .base import StageCosts, Theory


def naive(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """One micro-batch at a time: makespan M·P·(F+B)."""
    bubble = microbatches * (ranks - 1) * costs.both
    return Theory(
        makespan=microbatches * ranks * costs.both,
        idle=(bubble,) * ranks,
        published_bubble=bubble,
        peak_activations=(1,) * ranks,
        parameters=1,
        messages=2 * microbatches * (ranks - 1),
        formulas={
            "makespan": "M·P·(F+B)",
            "bubble": "M·(P-1)·(F+B)",
            "published bubble": "M·(P-1)·(F+B)",
            "peak activations": "1",
            "messages": "2·M·(P-1)",
        },
        assumes="Nothing else.",
    )


def gpipe(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Huang et al., arXiv 1811.06965: bubble (P-1)(F+B), M activations."""
    return _filled_once(ranks, microbatches, costs, (microbatches,) * ranks, "M")


def one_f_one_b(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Narayanan et al., arXiv 2006.09503: GPipe's bubble, but min(P-r, M) activations on rank r."""
    return _filled_once(
        ranks, microbatches, costs, tuple(min(ranks - rank, microbatches) for rank in range(ranks)), "min(P-r, M)"
    )


def _filled_once(ranks: int, microbatches: int, costs: StageCosts, peak: tuple[int, ...], peak_formula: str) -> Theory:
    """The pipeline fills and empties once, over P stages."""
    bubble = (ranks - 1) * costs.both
    return Theory(
        makespan=microbatches * costs.both + bubble,
        idle=(bubble,) * ranks,
        published_bubble=bubble,
        peak_activations=peak,
        parameters=1,
        messages=2 * microbatches * (ranks - 1),
        formulas={
            "makespan": "(M+P-1)·(F+B)",
            "bubble": "(P-1)·(F+B)",
            "published bubble": "(P-1)·(F+B)",
            "peak activations": peak_formula,
            "messages": "2·M·(P-1)",
        },
        assumes="Nothing else.",
    )


def interleaved(ranks: int, microbatches: int, costs: StageCosts, chunks: int) -> Theory:
    """Narayanan et al., arXiv 2104.04473: the bubble of 1F1B, of stages that are 1/V as long.

    Theirs is for a multiple of P micro-batches. With groups as this schedule's it holds from P on. Fewer than P leave
    gaps each time that they go round the ranks, (V-1)(P-M)(F+B) in all.
    """
    at_least(1, chunks, "chunks")
    first_group = len(groups_of(ranks, microbatches)[0])
    published = (ranks - 1) * costs.both
    bubble = published + (chunks - 1) * max(0, ranks - microbatches) * costs.both
    return Theory(
        makespan=microbatches * chunks * costs.both + bubble,
        idle=(bubble,) * ranks,
        published_bubble=published,
        peak_activations=tuple(
            min((chunks - 1) * first_group + 2 * (ranks - 1 - rank) + 1, microbatches * chunks) for rank in range(ranks)
        ),
        parameters=1,
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
