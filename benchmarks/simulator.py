"""Building, simulating, checking and reading off all figures of a schedule: how long, and in how much memory?

Every repetition builds the schedule anew, so that nothing is remembered from the one before. Times are medians, and the
shortest of building and simulating beside them: on a busy machine it is nearer to what the work itself takes. The
naive schedule is all gaps, each of which is an object with its reason: its figures take longer than their limit.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

from _table import Row, arguments, show

from pipelab import Timeline, build, check, simulate
from pipelab.schedules import SCHEDULES

SIZES = [(16, 128), (64, 512)]
SIMPLE = {"naive", "gpipe", "1f1b"}  # fewer actions than the others


def limits(name: str, ranks: int) -> dict[str, int | str]:
    """ms. Of the smaller size: what a slider can bear."""
    if ranks == 16:
        return {"limit ms": 5 if name in SIMPLE else 8 if name == "dualpipe" else "", "check limit ms": ""}
    return {"limit ms": 40 if name == "1f1b" else 120, "check limit ms": 60 if name == "1f1b" else 200}


def figures(timeline: Timeline) -> list[Any]:
    """All that a timeline says in numbers, and each gap with its reason."""
    found: list[Any] = [timeline.makespan, timeline.busy, timeline.idle, timeline.bubble_fraction]
    found += [timeline.bubble_over_ideal, timeline.exposed_communication, timeline.phases, timeline.idle_by_phase]
    return [*found, timeline.peak_activations, sum(gap.length for gap in timeline.gaps())]


def once(name: str, ranks: int, microbatches: int) -> dict[str, float]:
    """ms of each step, once."""
    gc.collect()
    times = [time.perf_counter()]

    def timed(do: Callable[[], Any]) -> Any:
        result = do()
        times.append(time.perf_counter())
        return result

    schedule = timed(lambda: build(name, ranks, microbatches))
    timeline = timed(lambda: simulate(schedule))
    timed(lambda: figures(timeline))
    problems = timed(lambda: check(schedule))
    if problems:
        raise SystemExit(f"{name} is wrong: {problems}")
    took = [1000 * (end - start) for start, end in pairwise(times)]
    return {"actions": len(timeline), **dict(zip(("build", "simulate", "figures", "check"), took, strict=True))}


def measure(name: str, ranks: int, microbatches: int, repeats: int) -> Row:
    """One line of the table."""
    found = [once(name, ranks, microbatches) for _ in range(repeats)]
    took = {key: median(each[key] for each in found) for key in found[0]}
    both = [each["build"] + each["simulate"] for each in found]
    limit = limits(name, ranks)
    return {
        "schedule": name,
        "ranks": ranks,
        "micro-batches": microbatches,
        "actions": int(took["actions"]),
        "build ms": took["build"],
        "simulate ms": took["simulate"],
        "build + simulate ms": median(both),
        "shortest ms": min(both),
        "limit ms": limit["limit ms"],
        "check ms": took["check"],
        "check limit ms": limit["check limit ms"],
        "check / both": took["check"] / median(both),
        "limit of that": "1.3",
        "figures ms": took["figures"],
        "figures / both": took["figures"] / median(both),
        "limit of figures": "0.5" if ranks == 64 else "",
    }


def main() -> None:
    options = arguments(__doc__, repeats=15)
    rows = [measure(name, *size, options.repeats) for size in SIZES for name in SCHEDULES]
    show(options, rows, f"medians of {options.repeats}; check, which simulation does not need, on its own")


if __name__ == "__main__":
    main()
