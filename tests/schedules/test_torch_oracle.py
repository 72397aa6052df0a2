"""The same order as torch.distributed.pipelining, action by action: recorded while torch trains on real ranks.

Not read from torch's own table of the schedule: in torch 2.13 that of 1F1B counts the last rank's forwards from 1. A
pair is recorded as its two actions; which ones torch pairs is read from its table.
"""

from __future__ import annotations

import pytest

from pipelab import Schedule, build
from pipelab.ir import to_csv
from pipelab.ranks import Ranks

MICROBATCHES = range(1, 11)


def what_torch_does(ctx, cases: list[tuple[str, int, int]]) -> dict[tuple[str, int, int], tuple[str, str]]:
    """Per (schedule, micro-batches, stages per rank): this rank's actions as torch did them, and as its table has them.

    Where torch refuses, "" and its reason.
    """
    import torch
    from torch.distributed import pipelining
    from torch.distributed.pipelining import PipelineStage

    kinds = {
        "gpipe": pipelining.ScheduleGPipe,
        "1f1b": pipelining.Schedule1F1B,
        "interleaved": pipelining.ScheduleInterleaved1F1B,
        "zb-h1": pipelining.ScheduleInterleavedZeroBubble,  # with one stage per rank
        "zb-v": pipelining.ScheduleZBVZeroBubble,
        "dualpipe-v": pipelining.schedules.ScheduleDualPipeV,
    }

    class Recorded(PipelineStage):
        """Notes every forward and backward as it is done."""

        def forward_one_chunk(self, number, *arguments, **options):
            done.append(f"{self.stage_index}F{number}")
            return super().forward_one_chunk(number, *arguments, **options)

        def backward_one_chunk(self, number, *arguments, full_backward=True, **options):
            done.append(f"{self.stage_index}{'B' if full_backward else 'I'}{number}")
            return super().backward_one_chunk(number, *arguments, full_backward=full_backward, **options)

        def backward_weight_one_chunk(self, number, *arguments, **options):
            done.append(f"{self.stage_index}W{number}")
            return super().backward_weight_one_chunk(number, *arguments, **options)

    found = {}
    for name, count, per_rank in cases:
        done: list[str] = []
        last = ctx.size * per_rank - 1
        mine = [*range(ctx.rank, last + 1, ctx.size)]
        if name in ("zb-v", "dualpipe-v"):
            mine = [ctx.rank, last - ctx.rank]
        stages = [Recorded(torch.nn.Linear(3, 3), stage, last + 1, ctx.device) for stage in mine]
        try:
            held = stages[0] if name in ("gpipe", "1f1b") else stages
            schedule = kinds[name](held, count, loss_fn=torch.nn.functional.mse_loss)
        except ValueError as refused:
            found[name, count, per_rank] = "", str(refused)
            continue
        batch = [torch.ones(2 * count, 3)] if 0 in mine else []
        schedule.step(*batch, target=torch.zeros(2 * count, 3) if last in mine else None)
        table = (schedule.pipeline_order or {}).get(ctx.rank, [])
        found[name, count, per_rank] = ",".join(done), ",".join(str(action) for action in table if action)
    return found


CASES = [("gpipe", m, 1) for m in MICROBATCHES] + [("1f1b", m, 1) for m in MICROBATCHES]
CASES += [("interleaved", m, v) for m in MICROBATCHES for v in (1, 2, 3)] + [("zb-h1", m, 1) for m in MICROBATCHES]
CASES += [("zb-v", m, 2) for m in MICROBATCHES] + [("dualpipe-v", m, 2) for m in MICROBATCHES]


def torch_takes(name: str, ranks: int, microbatches: int) -> bool:
    """Else it refuses."""
    if name in ("interleaved", "zb-h1"):  # even rounds
        return microbatches % max(1, microbatches // ranks) == 0
    return microbatches >= {"1f1b": ranks, "dualpipe-v": 2 * ranks}.get(name, 1)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_the_same_order_as_torch(ranks: int) -> None:
    by_rank = Ranks(ranks, device="cpu").run(what_torch_does, CASES, timeout=100)
    for case in CASES:
        name, microbatches, chunks = case
        theirs = [found[case] for found in by_rank]
        if not torch_takes(name, ranks, microbatches):
            assert {done for done, _ in theirs} == {""}, theirs
            continue
        schedule: Schedule = build(name, ranks, microbatches, chunks=chunks if name == "interleaved" else None)
        ours = [",".join(str(part) for a in program for part in a.computes) for program in schedule.programs]
        assert ours == [done for done, _ in theirs], case
        if name not in ("gpipe", "1f1b"):
            assert to_csv(schedule).splitlines() == [table for _, table in theirs], case
