"""Hidden communication: a forward and a backward whose all-to-alls are waited for, or overlapped; and whole steps.

First one stage of MoE blocks on two expert-parallel ranks, at several ratios of communication to computation; then
DualPipe on a grid of pipeline x expert parallelism. All paced, over an emulated link. Every row stands against what the
simulator predicts from the same costs: a pair's segments one by one, and a step from its actions. The last table has
the same pair in several orders of its segments.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from _table import Row, arguments, show

from pipelab import Costs, run, simulate
from pipelab.ir import ORDERS
from pipelab.moe import hide
from pipelab.schedules import dualpipe
from pipelab.simulator.pair_timing import pair_times

LAYERS, COMPUTE = 4, 60  # of one stage alone; ms of F, I and W each
STEP_LAYERS, STEP_COMPUTE = 2, 80  # of each stage of a step, where more ranks share the cores
#: communication / computation of a forward and a backward together
RATIOS = [0.5, 1, 1.5]
#: (ranks of the pipeline, micro-batches)
STEPS = [(2, 8), (4, 8)]
COLUMNS = 2


def costs_of(ratio: float, compute: float) -> Costs:
    """F, I and W alike; as in DeepSeek's profile, a forward exchanges as much as a backward."""
    exchange = ratio * 3 * compute / 2
    return Costs(compute, compute, compute, forward_comm=exchange, backward_input_comm=exchange, unit="ms")


def pair(ratio: float, repeats: int) -> Row:
    """One stage's forward and backward."""
    found = hide(pace=costs_of(ratio, COMPUTE), layers=LAYERS, repeats=repeats)
    assert found.simulated is not None
    return {
        "comm / compute": f"{ratio:g}",
        "F ms": found.forward,
        "B ms": found.backward,
        "blocking ms": found.blocking,
        "F&B ms": found.overlapped,
        "blocking / sum": found.blocking / (found.compute + found.communication),
        "F&B / max": found.over_ideal,
        "F&B / simulated": found.overlapped / float(found.simulated.overlapped),
        "exposed ms": found.exposed,
        "simulated": float(found.simulated.exposed),
        "hidden": found.hidden_share,
        "equal": found.gradients_equal,
    }


def ordered(order: str, repeats: int) -> Row:
    """The same pair at ratio 1 in another order."""
    found = hide(order, pace=costs_of(1, COMPUTE), layers=LAYERS, repeats=repeats)
    assert found.simulated is not None
    return {
        "order": order,
        "F&B ms": found.overlapped,
        "simulated ms": float(found.simulated.overlapped),
        "F&B / simulated": found.overlapped / float(found.simulated.overlapped),
        "exposed ms": found.exposed,
        "hidden": found.hidden_share,
        "in order": found.in_order,
        "equal": found.gradients_equal,
    }


def step(ranks: int, microbatches: int, overlap: bool, repeats: int) -> Row:
    """A whole step of DualPipe. Blocking: each pair takes what its two actions do."""
    costs = costs_of(1, STEP_COMPUTE)
    times = pair_times(costs, 2 * STEP_LAYERS)
    known = replace(costs, overlapped=times.overlapped if overlap else times.serial)
    schedule = dualpipe(ranks, microbatches)
    result = run(
        schedule,
        stages(ranks),
        batch(COLUMNS * microbatches),
        loss=squares,
        pace=costs,
        steps=repeats,
        expert_ranks=COLUMNS,
        overlap=overlap,
    )
    simulated = float(simulate(schedule, known).makespan)
    return {
        "ranks": f"{ranks} x {COLUMNS}",
        "micro-batches": microbatches,
        "all-to-all": "overlapped" if overlap else "blocking",
        "step ms": result.makespan_ms,
        "simulated ms": simulated,
        "step / simulated": result.makespan_ms / simulated,
        "exposed ms": max(map(float, result.timeline.exposed_communication)),
        "gradients equal": result.gradients_equal,
        "valid": result.valid,
    }


def stages(count: int) -> list[Any]:
    from pipelab.moe import MoEBlock
    from pipelab.overlap.segmented import SegmentedSequence

    shape = {"hidden": 16, "num_experts": 4, "top_k": 2}
    return [
        SegmentedSequence(*(MoEBlock(16, 4, seed=stage * STEP_LAYERS + n, **shape) for n in range(STEP_LAYERS)))
        for stage in range(count)
    ]


def batch(rows: int) -> tuple[Any, Any]:
    import torch

    inputs, targets = torch.randn(2, rows, 8, 16, generator=torch.Generator().manual_seed(0))
    return inputs, targets


def squares(output: Any, target: Any) -> Any:
    return ((output - target) ** 2).mean()


def main() -> None:
    options = arguments(__doc__, repeats=5)
    pairs = [pair(ratio, options.repeats) for ratio in RATIOS]
    steps = [step(*case, overlap, options.repeats) for case in STEPS for overlap in (False, True)]
    orders = [ordered(order, options.repeats) for order in ORDERS]
    note = f"emulated link, paced; medians of {options.repeats}"
    if options.json:
        show(options, [*pairs, *steps, *orders], note)
        return
    show(options, pairs, f"2 expert-parallel ranks, {LAYERS} layers, {note}\n")
    show(options, steps, f"DualPipe, pipeline x expert ranks, {STEP_LAYERS} layers a stage, comm / compute 1, {note}\n")
    show(options, orders, f"orders of a pair's segments, comm / compute 1, {LAYERS} layers, {note}")


if __name__ == "__main__":
    main()
