"""DualPipe's step, unpaced, against torch's DualPipeV and pipelab's own 1F1B: the same model, ranks and micro-batches.

All three stand on every rank and take turns, so that whatever else the machine does meets all. On a few cores all are
bound by the cores, not by their bubbles: what shows is what a schedule costs besides its computation.
That is the sum of the copies' gradients, once a step, and the halves of split backwards: both weigh less the larger the
micro-batches are.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from _table import Row, arguments, show

from pipelab import build
from pipelab.ir import lower
from pipelab.ranks import Ranks

RANKS, MICROBATCHES = 4, 8
#: (width of the model, rows of text per micro-batch)
CASES = [(64, 2), (128, 4), (128, 32)]
LAYERS = 8


def contest(ctx: Any, width: int, rows: int, repeats: int) -> list[dict[str, tuple[float, float]]]:
    """Runs on every rank: (begin, end) of each step of each pipeline."""
    import torch.distributed as dist
    from _peer import Peer

    from pipelab.models import batches, loss, transformer_stages
    from pipelab.runtime.executor import Executor

    [(inputs, targets)] = batches(rows * MICROBATCHES)
    steps: dict[str, tuple[Any, dict]] = {}

    def modules_of(name: str) -> tuple[Any, dict]:
        schedule = build(name, ctx.size, MICROBATCHES)
        stages = transformer_stages(schedule.num_stages, layers=LAYERS, width=width)
        return schedule, {stage: stages[stage] for stage in schedule.placement.stages_of(ctx.rank)}

    for name in ("dualpipe", "1f1b", "dualpipe-v"):
        schedule, modules = modules_of(name)
        executor = Executor(ctx, lower(schedule), modules, loss, seed=0, pace=None)
        steps[name] = (lambda e=executor: e.step(0, inputs, targets, begin=0.0, measure_memory=False), modules)
    schedule, modules = modules_of("dualpipe-v")
    peer = Peer(ctx, "dualpipe-v", modules, schedule.num_stages, MICROBATCHES, loss, None)
    steps["torch's dualpipe-v"] = (lambda: peer.step(inputs, targets), modules)
    times = []
    for number in range(repeats + 3):  # the first three warm up
        row = {}
        for name, (step, modules) in sorted(steps.items(), reverse=number % 2 == 0):
            for module in modules.values():
                module.zero_grad()
            dist.barrier()
            began = time.monotonic()
            step()
            row[name] = began, time.monotonic()
        times.append(row)
    return times[3:]


def measure(width: int, rows: int, repeats: int) -> Row:
    """One line of the table."""
    ranks = Ranks(RANKS).run(contest, width, rows, repeats)
    took = {
        name: 1000
        * median(max(s[name][1] for s in each) - min(s[name][0] for s in each) for each in zip(*ranks, strict=True))
        for name in ranks[0][0]
    }
    return {
        "width": width,
        "passages": rows,
        **{f"{name} ms": milliseconds for name, milliseconds in took.items()},
        "dualpipe / torch's dualpipe-v": took["dualpipe"] / took["torch's dualpipe-v"],
        "dualpipe / 1f1b": took["dualpipe"] / took["1f1b"],
    }


def main() -> None:
    options = arguments(__doc__, repeats=20)
    rows = [measure(*case, options.repeats) for case in CASES]
    show(
        options,
        rows,
        f"{RANKS} ranks, {MICROBATCHES} micro-batches, {LAYERS} blocks; medians of {options.repeats} steps",
    )


if __name__ == "__main__":
    main()
