"""Closed forms of the zero-bubble schedules, which do W when nothing else is to be done: ZB-H1, ZB-H2, ZB-V.

The published bubbles take F, I and W to be about equal. The forms here hold for any, as property tests show. Each is
the largest of several: of the chains of actions, each waiting for the one before, that can be the longest.
"""

from __future__ import annotations

from typing import Any

from .base import StageCosts, Theory


def zb_h1(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Qi et al., arXiv 2401.10241: bubble (P-1)(F+I-W); in general (P-1)·max(F, I, F+I-W) from M = P on."""
    f, _, i, w, _ = costs
    return _put_off(
        ranks,
        microbatches,
        costs,
        per_rank=1,
        published=(ranks - 1) * (f + i - w),
        formulas={
            "bubble": "(P-1)·max(F, I, F+I-W)",
            "published bubble": "(P-1)·(F+B-2·W)",
            "peak activations": "min(P, M)",
        },
        assumes="The published bubble holds where W ≤ min(F, I); the text of the bubble, from M = P on.",
    )


def zb_h2(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Qi et al., arXiv 2401.10241: bubble (P-1)(F+I-2W), but of a rank's own span.

    Where F = I = W that is 0. In the whole step the last rank starts (P-1)F late whatever it does later, so that the
    bubble is (P-1)·max(F, I-F, F+I-2W) from M = 2P-1 on: where F = I = W, that of ZB-H1.
    """
    f, _, i, w, _ = costs
    return _put_off(
        ranks,
        microbatches,
        costs,
        per_rank=2,
        published=(ranks - 1) * (f + i - 2 * w),
        formulas={
            "bubble": "(P-1)·max(F, I-F, F+I-2·W)",
            "published bubble": "(P-1)·(F+B-3·W)",
            "peak activations": "min(2·P-1, M)",
        },
        assumes="The published bubble is that of one rank from its first action to its last; of the whole step it is "
        "the bubble where 2W ≤ min(I, 2F). The text of the bubble holds from M = 2P-1 on.",
    )


def _put_off(
    ranks: int,
    microbatches: int,
    costs: StageCosts,
    per_rank: int,
    published: Any,
    formulas: dict[str, str],
    assumes: str,
) -> Theory:
    """For any number of micro-batches; where that is large, the longest chain is one of the three in the formulas."""
    f, _, i, w, _ = costs
    peak = min(per_rank * (ranks - 1) + 1, microbatches)
    chains = [
        # Down in the warm-up, all the last rank's work, up to rank r with the last gradient, and the W that r put off.
        (ranks - 1) * f + (ranks - 1 - rank) * i - (peak - min(peak, per_rank * rank + 1)) * w
        for rank in range(ranks)
    ]
    # Rank 0 has done what forwards it may before the first gradient comes.
    chains.append((ranks - 1) * i + (ranks - peak) * f)
    if per_rank == 2 and peak % 2 == 0:  # an even number below 2P-1: one more turns round in the middle of the ranks
        chains.append((ranks - 2) * f + (ranks - peak // 2) * i)
    bubble = max(chains)
    return Theory(
        makespan=microbatches * costs.both + bubble,
        idle=(bubble,) * ranks,
        published_bubble=published,
        peak_activations=(peak,) * ranks,
        parameters=1,
        messages=2 * microbatches * (ranks - 1),
        formulas={"makespan": "M·(F+B) + bubble", "messages": "2·M·(P-1)", **formulas},
        assumes=assumes,
    )


def zb_v(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Qi et al., arXiv 2405.15362: no bubble in a rank's own span where F = I = W.

    In the whole step the bubble is then (P-1)F, of stages that are half as long as ZB-H1's. It grows quickly where they
    differ. ValueError for fewer than 2P-1 micro-batches, for which this order is not made.
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
    bubble = max(chains) if k else 0
    return Theory(
        makespan=2 * microbatches * costs.both + bubble,
        idle=(bubble,) * ranks,
        published_bubble=0,
        peak_activations=(2 * ranks,) * ranks,
        parameters=1,
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
