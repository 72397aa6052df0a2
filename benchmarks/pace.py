"""Paced runs against their simulation: does a pipeline of more ranks than cores show its true timing?

The ratio of measured to simulated makespan should be within 3%, and naive on 4 ranks should show a bubble of 3/4.
"""

from __future__ import annotations

from statistics import median

from _table import Row, arguments, show

from pipelab import Costs, build, run

CASES = [("naive", 4, 8), ("gpipe", 4, 8), ("1f1b", 4, 8), ("gpipe", 8, 16), ("1f1b", 8, 16)]


def measure(name: str, ranks: int, microbatches: int, pace_ms: int, steps: int) -> Row:
    """One line of the table. The median of all steps but the first, in which memory is measured too."""
    costs = Costs(forward=pace_ms, backward_input=pace_ms / 2, backward_weight=pace_ms / 2, unit="ms")
    result = run(build(name, ranks, microbatches), steps=steps + 1, pace=costs, check=False)
    steady = result.timelines[1:]
    return {
        "schedule": name,
        "ranks": ranks,
        "micro-batches": microbatches,
        "simulated ms": result.simulated_makespan_ms,
        "measured ms": (measured := median(timeline.makespan for timeline in steady)),
        "ratio": measured / result.simulated_makespan_ms,
        "worst step": max(timeline.makespan for timeline in steady) / result.simulated_makespan_ms,
        "bubble": median(timeline.bubble_fraction for timeline in steady),
        "simulated bubble": float(result.simulated.bubble_fraction),
        "late ms": result.lateness_ms,
        "valid": result.valid,
    }


def main() -> None:
    options = arguments(__doc__, pace_ms=10, steps=7)
    rows = [measure(*case, options.pace_ms, options.steps) for case in CASES]
    show(options, rows, f"every action held to {options.pace_ms} ms; medians of {options.steps} steps")


if __name__ == "__main__":
    main()
