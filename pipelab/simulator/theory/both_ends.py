"""Closed forms of DualPipe and DualPipeV."""

from __future__ import annotations

from typing import Any

from ...schedules.dualpipe import require_full, require_sizes
from .base import StageCosts, Theory

_BUBBLE = {"bubble": "k·(F&B - W - min(I, W)) + max(k·F, k·I-F)", "published bubble": "k·(F&B+B-3·W)"}
_ASSUMES = (
    "F&B lies between the longer of F and B, and F+B. The bubble is that of the ranks in the middle, which are idle "
    "longest; the published one is the same where F = I ≥ W."
)


def dualpipe(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """DeepSeek-V3, arXiv 2412.19437: bubble (P/2-1)(F&B+B-3W), two copies of the parameters, P+1 activations.

    Their bubble is exact where F = I = W, and still where F = I > W. In general the middle ranks idle
    k(F&B-W-min(I,W)) + max(kF, kI-F) with k = P/2-1, which may be more or less; ranks nearer to the ends have fewer
    overlapped pairs, so more to do. ValueError for sizes that DualPipe is not made for, and F&B shorter than F or B.
    """
    require_sizes(ranks, microbatches)
    makespan, idle, published = _eight_phases(ranks // 2, microbatches // 2, costs)
    return Theory(
        makespan=makespan,
        idle=(*idle, *reversed(idle)),
        published_bubble=published,
        peak_activations=(ranks + 1,) * ranks,
        parameters=2,
        messages=2 * microbatches * (ranks - 1),
        formulas={
            "makespan": "(P+1)·(F+B) + (M-P-1)·F&B + bubble",
            **_BUBBLE,
            "k": "P/2-1",
            "peak activations": "P+1",
            "messages": "2·M·(P-1)",
        },
        assumes=_ASSUMES,
    )


def dualpipe_v(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """DualPipe's closed forms for 2P ranks and 2M micro-batches, and one copy of the parameters.

    ValueError for fewer than 2P micro-batches, and for F&B shorter than F or B.
    """
    require_full("DualPipeV", ranks, microbatches)
    makespan, idle, published = _eight_phases(ranks, microbatches, costs)
    return Theory(
        makespan=makespan,
        idle=idle,
        published_bubble=published,
        peak_activations=(2 * ranks + 1,) * ranks,
        parameters=1,
        messages=4 * microbatches * (ranks - 1),
        formulas={
            "makespan": "(2·P+1)·(F+B) + (2·M-2·P-1)·F&B + bubble",
            **_BUBBLE,
            "k": "P-1",
            "peak activations": "2·P+1",
            "messages": "4·M·(P-1)",
        },
        assumes=_ASSUMES + " All costs are those of one of the 2P stages.",
    )


def _eight_phases(half: int, microbatches: int, costs: StageCosts) -> tuple[Any, tuple[Any, ...], Any]:
    """Makespan, idle time from the end to the middle, and published bubble.

    half           ranks from the end to the middle, or the fold
    microbatches   that come in at this end
    """
    f, b, i, w, overlapped = costs
    if overlapped < max(f, b):
        raise ValueError(
            f"an overlapped pair takes {overlapped}, less than its {'forward' if f > b else 'backward'} alone, "
            f"{max(f, b)}: then the closed form does not hold"
        )
    k = half - 1
    bubble = k * (overlapped - w - min(i, w)) + max(k * f, k * i - f)
    busy = []
    for depth in range(half):
        pairs = 2 * microbatches - 3 * half + depth + (depth < k)
        busy.append((2 * microbatches - pairs) * costs.both + pairs * overlapped)
    makespan = busy[k] + bubble
    return makespan, tuple(makespan - work for work in busy), k * (overlapped + i - 2 * w)
