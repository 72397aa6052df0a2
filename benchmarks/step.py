"""A step of the pipeline, unpaced, against torch.distributed.pipelining's: same ranks, model, micro-batches and run.

On every rank stand both pipelines, each with a copy of the same stages. They take turns, step by step, so that whatever
else the machine does meets both. A step is timed from the first start to the last end, forward and
backward of all micro-batches, without the optimiser. Both give the same loss and gradients, or there is no figure.
"""

from __future__ import annotations

import copy
import time
from statistics import median
from typing import Any

from _peer import PEERS
from _table import Row, arguments, show

from pipelab import build
from pipelab.ir import lower
from pipelab.ranks import Ranks

RANKS, MICROBATCHES = 4, 8
#: (width of the model, rows of text per micro-batch) -> the limit of the ratio
SIZES = {(32, 2): 0.85, (128, 4): 0.97}


def contest(ctx: Any, name: str, width: int, rows: int, repeats: int) -> list[Row]:
    """Runs on every rank: (begin, end) of each step of each pipeline."""
    import torch
    import torch.distributed as dist
    from _peer import Peer

    from pipelab.models import batches, loss, transformer_stages
    from pipelab.runtime.executor import Executor

    schedule = lower(build(name, ctx.size, MICROBATCHES))
    [(inputs, targets)] = batches(rows * MICROBATCHES)
    stages = transformer_stages(schedule.num_stages, width=width)
    ours = {stage: stages[stage] for stage in schedule.placement.stages_of(ctx.rank)}
    theirs = copy.deepcopy(ours)
    executor = Executor(ctx, schedule, ours, loss, seed=0, pace=None)
    peer = Peer(ctx, name, theirs, schedule.num_stages, MICROBATCHES, loss, None)

    def step_ours() -> float:
        return executor.step(0, inputs, targets, begin=0.0, measure_memory=False).loss

    def step_theirs() -> float:
        return peer.step(inputs, targets)

    times: list[Row] = []
    for number in range(repeats + 3):  # the first three warm up
        row: Row = {}
        turns = [("ours", step_ours, ours), ("theirs", step_theirs, theirs)]
        for side, step, modules in turns if number % 2 else reversed(turns):
            for module in modules.values():
                module.zero_grad()
            dist.barrier()
            began = time.monotonic()
            row[f"{side} loss"] = step()
            row[side] = began, time.monotonic()
        times.append(row)
    for stage, module in ours.items():
        for mine, other in zip(module.parameters(), theirs[stage].parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad)
    return times[3:]


def compare(name: str, width: int, rows: int, repeats: int) -> Row:
    """One line of the table."""
    ranks = Ranks(RANKS).run(contest, name, width, rows, repeats)
    took: dict[str, list[float]] = {"ours": [], "theirs": []}
    for steps in zip(*ranks, strict=True):
        for side, times in took.items():
            begins, ends = zip(*(step[side] for step in steps), strict=True)
            times.append(1000 * (max(ends) - min(begins)))
        mine, other = (sum(step[f"{side} loss"] for step in steps) for side in took)
        if abs(mine - other) > 1e-5 * abs(other):
            raise SystemExit(f"the losses differ: {mine} and {other}")
    ours, theirs = (median(times) for times in took.values())
    return {
        "schedule": name,
        "ranks": RANKS,
        "micro-batches": MICROBATCHES,
        "width": width,
        "pipelab ms": ours,
        "torch ms": theirs,
        "ratio": ours / theirs,
        "limit": SIZES[width, rows],
    }


def main() -> None:
    options = arguments(__doc__, repeats=60)
    rows = [compare(name, *size, options.repeats) for size in SIZES for name in PEERS]
    show(options, rows, f"medians of {options.repeats} steps of each, in turn; a ratio below 1: pipelab is faster")


if __name__ == "__main__":
    main()
