"""Every schedule, paced, against its simulation and against torch.distributed.pipelining's run of the same schedule.

Both train the same model on the same number of ranks, every action held to the same duration: 20 ms for a P-th of the
model, forward, backward for the input and backward for the weights each; a chunk's action takes its share. torch's
actions are held from their start; pipelab's, as in every paced run, from their target start (see pipelab/overlap/pace).
torch has no naive, ZB-H2 and bidirectional DualPipe. Its zero bubble of one stage per rank is ZB-H1.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from _table import Row, arguments, show

from pipelab import Costs, build, run
from pipelab.ranks import Ranks
from pipelab.schedules import SCHEDULES

RANKS, MICROBATCHES, PACE_MS = 4, 20, 20
LIMITS = {"dualpipe": 1.010, "dualpipe-v": 1.012}  # of measured / simulated
WITH_PEER = ("gpipe", "1f1b", "interleaved", "zb-h1", "zb-v", "dualpipe-v")
WIDTH = 32


def torchs(ctx: Any, name: str, costs: Costs, steps: int) -> list[tuple[float, float]]:
    """Runs on every rank: (begin, end) of each step of torch's schedule."""
    import torch.distributed as dist
    from _peer import Peer

    from pipelab.models import batches, loss, transformer_stages

    placement = build(name, ctx.size, MICROBATCHES).placement
    stages = transformer_stages(placement.num_stages, width=WIDTH)
    modules = {stage: stages[stage] for stage in placement.stages_of(ctx.rank)}
    peer = Peer(ctx, name, modules, placement.num_stages, MICROBATCHES, loss, costs)
    [(inputs, targets)] = batches(2 * MICROBATCHES)
    times = []
    for _ in range(steps + 1):  # the first warms up
        for module in modules.values():
            module.zero_grad()
        dist.barrier()
        began = time.monotonic()
        peer.step(inputs, targets)
        times.append((began, time.monotonic()))
    return times[1:]


def measure(name: str, steps: int) -> Row:
    """One line of the table."""
    schedule = build(name, RANKS, MICROBATCHES)
    costs = Costs(PACE_MS, PACE_MS, PACE_MS).cut(schedule.num_stages // RANKS)
    result = run(schedule, steps=steps + 1, pace=costs, check=False)
    steady = result.timelines[1:]  # in the first, memory is measured too
    measured = float(median(timeline.makespan for timeline in steady))
    row: Row = {
        "schedule": name,
        "simulated ms": result.simulated_makespan_ms,
        "measured ms": measured,
        "ratio": measured / result.simulated_makespan_ms,
        "limit": LIMITS.get(name, "-"),
        "bubble": float(median(timeline.bubble_fraction for timeline in steady)),
        "simulated bubble": float(result.simulated.bubble_fraction),
        "valid": result.valid,
        "torch ms": "-",
        "of torch": "-",
    }
    if name in WITH_PEER:
        ranks = Ranks(RANKS).run(torchs, name, costs, steps)
        theirs = [max(e for _, e in each) - min(b for b, _ in each) for each in zip(*ranks, strict=True)]
        row["torch ms"] = 1000 * median(theirs)
        row["of torch"] = measured / row["torch ms"]
    return row


def main() -> None:
    options = arguments(__doc__, steps=5)
    rows = [measure(name, options.steps) for name in SCHEDULES]
    note = f"{RANKS} ranks, {MICROBATCHES} micro-batches, F = I = W = {PACE_MS} ms; medians of {options.steps} steps"
    show(options, rows, f"{note}. «of torch» below 1: pipelab is faster")


if __name__ == "__main__":
    main()
