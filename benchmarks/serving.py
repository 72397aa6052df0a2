"""Serving: expert-parallel ranks before and after a plan, with real moves of experts; and re-balancing as loads drift.

Every row is one window. CPU ms: the busiest rank's experts in their thread, summed over the layers; it shows balance
whatever else the cores do. Paced rows hold experts to a time per token, so that step ms shows it, too. Unpaced step ms
on a few cores is contention, not balance.
"""

from __future__ import annotations

from _table import Row, arguments, show

from pipelab import Costs
from pipelab.eplb import MovingAverage, contiguous, drifting, rebalance, zipf
from pipelab.serving import Served, Serving, serve

LAYERS, EXPERTS = 2, 16
PACE = Costs(forward=50, unit="us")  # of a token
#: (ranks, slots)
SIZES = [(4, 20), (8, 24)]
WINDOWS, TOKENS = 12, 2048


def row(served: Serving, name: str, window: Served) -> Row:
    return {
        "ranks": served.ranks,
        "window": name,
        "plan": window.plan.policy,
        "timing": served.source,
        "balance": window.balancedness,
        "busiest tokens": window.straggler_tokens,
        "CPU ms": window.straggler,
        "step ms": window.step,
        "moved MB": window.moved_bytes / 1e6,
        "moving ms": window.moving,
        "difference": window.error,
        "valid": served.valid,
    }


def before_and_after(ranks: int, slots: int, pace: Costs | None, steps: int) -> list[Row]:
    load = zipf(LAYERS, EXPERTS, seed=0)
    plans = [contiguous(load, slots, ranks), rebalance(load, slots, ranks, policy="refined")]
    served = serve([load, load], plans, tokens=TOKENS, steps=steps, pace=pace)
    return [row(served, name, window) for name, window in zip(("before", "after"), served.windows, strict=True)]


def online(policy: str | None, every: int, steps: int) -> Row:
    """A whole drifting load; totals of all windows."""
    loads = drifting(WINDOWS, LAYERS, EXPERTS, sigma=1.2, correlation=0.95, seed=0)
    ranks, slots = SIZES[0]
    average = MovingAverage(1)
    given = {"policy": policy, "every": every, "predictor": average, "max_moved": 0.2}
    served = serve(loads, ranks=ranks, replicas=slots, tokens=TOKENS, steps=steps, pace=PACE, **given)
    return {
        "policy": policy or "never",
        "every": every if policy else 0,
        "balance": sum(window.balancedness for window in served.windows) / WINDOWS,
        "total ms": served.total,
        "of it moving, planning": served.moving,
        "moved MB": served.moved_bytes / 1e6,
        "difference": served.error,
        "valid": served.valid,
    }


def main() -> None:
    options = arguments(__doc__, steps=5)
    rows = [
        each
        for ranks, slots in SIZES
        for pace in (None, PACE)
        for each in before_and_after(ranks, slots, pace, options.steps)
    ]
    runs = [online(*case, options.steps) for case in ((None, 1), ("incremental", 1), ("refined", 1), ("refined", 4))]
    note = f"{LAYERS} layers of {EXPERTS} experts, {TOKENS} tokens a step, medians of {options.steps} steps"
    if options.json:
        show(options, [*rows, *runs], note)
        return
    show(options, rows, f"{note}; paced: {PACE.forward} µs a token\n")
    show(options, runs, f"a drifting load, {WINDOWS} windows of {options.steps} steps on {SIZES[0][0]} ranks, paced")


if __name__ == "__main__":
    main()
