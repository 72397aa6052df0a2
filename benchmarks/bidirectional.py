"""DualPipe's step, unpaced, against torch's DualPipeV and pipelab's own 1F1B: the same model, ranks and micro-batches.

All stand on every rank and take turns, so that whatever else the machine does meets all. On a few cores all are
bound by the cores, not by their bubbles: what shows is what a schedule costs besides its computation.
That is the sum of the copies' gradients, once a step, and the halves of split backwards: both weigh less the larger the
micro-batches are. No optimizer takes a step.

With --dualpipe PATH, a checkout of deepseek-ai/DualPipe, DeepSeek's own code runs beside them; see _deepseek.py. It
starts from the same weights and gives the same loss and gradients, or there is no figure.
"""

from __future__ import annotations

import copy
import time
from pathlib import Path
from statistics import median
from typing import Any

from _table import Row, parser, show

from pipelab import build
from pipelab.ir import lower
from pipelab.ranks import Ranks

RANKS, LAYERS = 4, 8
#: (width of the model, rows of text of 64 bytes per micro-batch, micro-batches)
CASES = [(64, 2, 8), (128, 4, 8), (128, 32, 8), (256, 2, 20)]
LIMITS = {(64, 2, 8): 1.08}  # of dualpipe / 1f1b
DEEPSEEK_LIMITS = {(256, 2, 20): 0.90}


def contest(
    ctx: Any, width: int, rows: int, microbatches: int, repeats: int, checkout: Path | None
) -> list[dict[str, tuple[float, float]]]:
    """Runs on every rank: (begin, end) of each step of each pipeline."""
    import torch
    import torch.distributed as dist
    from _deepseek import DeepSeeks
    from _peer import Peer

    from pipelab.models import batches, loss, transformer_stages
    from pipelab.runtime.executor import Executor

    [(inputs, targets)] = batches(rows * microbatches)
    steps: dict[str, tuple[Any, dict]] = {}

    def modules_of(name: str) -> tuple[Any, dict]:
        schedule = build(name, ctx.size, microbatches)
        stages = transformer_stages(schedule.num_stages, layers=LAYERS, width=width)
        return schedule, {stage: stages[stage] for stage in schedule.placement.stages_of(ctx.rank)}

    for name in ("dualpipe", "1f1b", "dualpipe-v"):
        schedule, modules = modules_of(name)
        executor = Executor(ctx, lower(schedule), modules, loss, seed=0, pace=None)
        steps[name] = (lambda e=executor: e.step(0, inputs, targets, begin=0.0, measure_memory=False).loss, modules)
    schedule, modules = modules_of("dualpipe-v")
    peer = Peer(ctx, "dualpipe-v", modules, schedule.num_stages, microbatches, loss, None)
    steps["torch's dualpipe-v"] = (lambda: peer.step(inputs, targets), modules)
    if checkout:
        modules = copy.deepcopy(steps["dualpipe"][1])
        deepseek = DeepSeeks(checkout, ctx, modules, microbatches, loss, [rows, inputs.shape[-1], width])
        steps["DeepSeek's"] = (lambda: deepseek.step(inputs, targets), modules)
    times = []
    for number in range(repeats + 3):  # the first three warm up
        row = {}
        for name, (step, modules) in sorted(steps.items(), reverse=number % 2 == 0):
            for module in modules.values():
                module.zero_grad()
            dist.barrier()
            began = time.monotonic()
            row[f"{name} loss"] = step()
            row[name] = began, time.monotonic()
        times.append(row)
    if checkout:
        for stage, module in steps["dualpipe"][1].items():
            for mine, other in zip(module.parameters(), steps["DeepSeek's"][1][stage].parameters(), strict=True):
                torch.testing.assert_close(mine.grad, other.grad)
    return times[3:]


def measure(width: int, rows: int, microbatches: int, repeats: int, checkout: Path | None) -> Row:
    """One line of the table."""
    case = width, rows, microbatches
    ranks = Ranks(RANKS).run(contest, *case, repeats, checkout)
    took: dict[str, float] = {}
    for name in [name for name in ranks[0][0] if not name.endswith(" loss")]:
        took[name] = 1000 * median(
            max(step[name][1] for step in each) - min(step[name][0] for step in each)
            for each in zip(*ranks, strict=True)
        )
        for each in zip(*ranks, strict=True):
            mine, other = (sum(step[f"{side} loss"] for step in each) for side in ("dualpipe", name))
            if abs(mine - other) > 1e-5 * abs(mine):
                raise SystemExit(f"the losses of dualpipe and {name} differ: {mine} and {other}")
    row: Row = {
        "width": width,
        "passages": rows,
        "micro-batches": microbatches,
        **{f"{name} ms": milliseconds for name, milliseconds in sorted(took.items())},
        "dualpipe / torch's dualpipe-v": took["dualpipe"] / took["torch's dualpipe-v"],
        "dualpipe / 1f1b": took["dualpipe"] / took["1f1b"],
        "limit": LIMITS.get(case, "-"),
    }
    if checkout:
        row["dualpipe / DeepSeek's"] = took["dualpipe"] / took["DeepSeek's"]
        row["its limit"] = DEEPSEEK_LIMITS.get(case, "-")
    return row


def main() -> None:
    command = parser(__doc__, repeats=20)
    command.add_argument("--dualpipe", type=Path, metavar="PATH", help="deepseek-ai/DualPipe, to compare with")
    options = command.parse_args()
    checkout = options.dualpipe and options.dualpipe.resolve()
    rows = [measure(*case, options.repeats, checkout) for case in CASES]
    show(options, rows, f"{RANKS} ranks, {LAYERS} blocks; medians of {options.repeats} steps")


if __name__ == "__main__":
    main()
