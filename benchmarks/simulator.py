"""Building and simulating a schedule from nothing: how long?

Every repetition builds the schedule anew, so that nothing is remembered from the one before. Times are medians, and the
shortest in brackets: on a busy machine it is nearer to what the work itself takes.
"""

from __future__ import annotations

import gc
import time
from statistics import median

from _table import Row, arguments, show

from pipelab import build, check, simulate
from pipelab.schedules import SCHEDULES

SIZES = [(16, 128), (64, 512)]
SIMPLE = {"naive", "gpipe", "1f1b"}  # fewer actions than the others


def limit(name: str, ranks: int) -> int | str:
    """ms that a slider can bear."""
    if ranks == 64:
        return 150 if name in SIMPLE else 250
    return 5 if name in SIMPLE else 8 if name == "dualpipe" else ""


def measure(name: str, ranks: int, microbatches: int, repeats: int) -> Row:
    """One line of the table."""
    taken: dict[str, list[float]] = {"build": [], "simulate": [], "check": [], "both": []}
    for _ in range(repeats):
        gc.collect()
        began = time.perf_counter()
        schedule = build(name, ranks, microbatches)
        built = time.perf_counter()
        timeline = simulate(schedule)
        simulated = time.perf_counter()
        if check(schedule):
            raise SystemExit(f"{name} is wrong: {check(schedule)}")
        checked = time.perf_counter()
        for key, seconds in [
            ("build", built - began),
            ("simulate", simulated - built),
            ("check", checked - simulated),
            ("both", simulated - began),
        ]:
            taken[key].append(1000 * seconds)
    return {
        "schedule": name,
        "ranks": ranks,
        "micro-batches": microbatches,
        "actions": len(timeline),
        "build ms": median(taken["build"]),
        "simulate ms": median(taken["simulate"]),
        "build + simulate ms": median(taken["both"]),
        "shortest ms": min(taken["both"]),
        "limit ms": limit(name, ranks),
        "check ms": median(taken["check"]),
    }


def main() -> None:
    options = arguments(__doc__, repeats=15)
    rows = [measure(name, *size, options.repeats) for size in SIZES for name in SCHEDULES]
    show(options, rows, f"medians of {options.repeats}; check, which simulation does not need, on its own")


if __name__ == "__main__":
    main()
