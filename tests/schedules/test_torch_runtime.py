"""Schedules exchanged with torch.distributed.pipelining as CSV: torch trains by our tables, and we read its own."""

from __future__ import annotations

import pytest

from pipelab import Schedule, build, check, simulate
from pipelab.ir import from_csv, to_csv
from pipelab.ranks import Ranks
from pipelab.schedules import SCHEDULES

#: All whose micro-batches take one route: torch knows no others.
ONE_ROUTE = [name for name in SCHEDULES if name != "dualpipe"]


def train_by_csv(ctx, tables: list[tuple[Schedule, str]], directory: str) -> list[float]:
    """Per table: the largest relative error of this rank's gradients, when torch's runtime trains by it."""
    from pathlib import Path

    import torch
    from torch import nn
    from torch.distributed.pipelining import PipelineStage
    from torch.distributed.pipelining.schedules import _PipelineScheduleRuntime

    def module(stage: int) -> nn.Module:
        torch.manual_seed(stage)
        return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.LayerNorm(6)).double()

    errors = []
    for number, (schedule, text) in enumerate(tables):
        count, last = schedule.num_microbatches, schedule.num_stages - 1
        mine = schedule.placement.stages_of(ctx.rank)
        torch.manual_seed(100)
        inputs, targets = torch.randn(2, 2 * count, 6, dtype=torch.float64)

        stages = [PipelineStage(module(stage), stage, last + 1, ctx.device) for stage in mine]
        runtime = _PipelineScheduleRuntime(stages, count, loss_fn=nn.functional.mse_loss)
        file = Path(directory, f"{number} {ctx.rank}.csv")
        file.write_text(text)
        runtime._load_csv(str(file), format="compute_only")
        runtime.step(*([inputs] if 0 in mine else []), target=targets if last in mine else None)

        modules = [module(stage) for stage in range(last + 1)]
        nn.functional.mse_loss(nn.Sequential(*modules)(inputs), targets).backward()
        pairs = [
            (theirs.grad, ours.grad)
            for stage, held in zip(mine, stages, strict=True)
            for theirs, ours in zip(held.submod.parameters(), modules[stage].parameters(), strict=True)
        ]
        errors.append(max(float((theirs - ours).norm() / ours.norm().clamp(1e-12)) for theirs, ours in pairs))
    return errors


@pytest.mark.parametrize(("ranks", "microbatches"), [(1, 3), (2, 5), (3, 7), (4, 9), (4, 2)])
def test_torch_trains_by_our_table_with_a_single_processs_gradients(ranks, microbatches, tmp_path):
    """Also where torch's own generators refuse: 9 micro-batches interleaved over 4 ranks."""
    schedules = [
        build(name, ranks, microbatches, chunks=3 if name == "interleaved" else None)
        for name in ONE_ROUTE
        if name != "dualpipe-v" or microbatches >= 2 * ranks
    ]
    tables = [(schedule, to_csv(schedule)) for schedule in schedules]
    for errors in Ranks(ranks, device="cpu").run(train_by_csv, tables, str(tmp_path), timeout=100):
        assert dict(zip([schedule.name for schedule in schedules], errors, strict=True)) == {
            schedule.name: pytest.approx(0, abs=1e-9) for schedule in schedules
        }


def torchs_tables(ctx, cases: list[tuple[str, int, int]], directory: str) -> list[str]:
    """Per (class, micro-batches, stages per rank): the file that torch writes."""
    from pathlib import Path

    import torch
    from torch.distributed.pipelining import PipelineStage, schedules

    texts = []
    for number, (name, count, per_rank) in enumerate(cases):
        last = ctx.size * per_rank - 1
        v_shaped = name in ("ScheduleZBVZeroBubble", "ScheduleDualPipeV")
        mine = [ctx.rank, last - ctx.rank] if v_shaped else range(ctx.rank, last + 1, ctx.size)
        stages = [PipelineStage(torch.nn.Linear(2, 2), stage, last + 1, ctx.device) for stage in mine]
        file = Path(directory, f"{number} {ctx.rank}.csv")
        schedule = getattr(schedules, name)(stages, count, loss_fn=torch.nn.functional.mse_loss)
        schedule._dump_csv(str(file), format="compute_only")
        texts.append(file.read_text())
    return texts


def test_torchs_tables_are_read(tmp_path):
    ranks = 3
    cases = [
        ("ScheduleInterleaved1F1B", 6, 2),
        ("ScheduleInterleaved1F1B", 8, 3),
        ("ScheduleZBVZeroBubble", 7, 2),
        ("ScheduleDualPipeV", 8, 2),
        ("ScheduleInterleavedZeroBubble", 6, 1),
        ("ScheduleInterleavedZeroBubble", 6, 2),  # two that have no counterpart here
        ("ScheduleLoopedBFS", 4, 2),
    ]
    ours = ["interleaved", "interleaved", "zb-v", "dualpipe-v", "zb-h1"]
    by_rank = Ranks(ranks, device="cpu").run(torchs_tables, cases, str(tmp_path), timeout=100)
    for number, (_, microbatches, per_rank) in enumerate(cases):
        (text,) = {texts[number] for texts in by_rank}  # every rank writes the whole table
        read = from_csv(text)
        assert (read.num_ranks, read.num_stages, read.num_microbatches) == (ranks, ranks * per_rank, microbatches)
        assert check(read) == ()
        assert simulate(read).makespan > 0
        if number < len(ours):
            built = build(ours[number], ranks, microbatches, chunks=per_rank if ours[number] == "interleaved" else None)
            assert (read.programs, read.placement.routes) == (built.programs, built.placement.routes)
