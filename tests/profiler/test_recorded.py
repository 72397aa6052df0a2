"""Profiles that torch.profiler records here, against what torch itself says of them."""

import gzip

import pytest
import torch
import torch.distributed as dist
from torch.profiler import ProfilerActivity, profile, record_function

from pipelab.profiler import load_profile
from pipelab.ranks import Ranks


def test_one_process_against_torchs_own_account(tmp_path):
    matrix = torch.randn(200, 200, requires_grad=True)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        with record_function("attn(F)"):
            out = (matrix @ matrix).relu()
        with record_function("attn(B)"):
            out.sum().backward()
    path = tmp_path / "trace.json"
    recorded.export_chrome_trace(str(path))

    found = load_profile(path)
    operators = [event for event in recorded.events() if event.name.startswith("aten::")]
    inner = {child.id for event in operators for child in event.cpu_children}
    outer = [event for event in operators if event.id not in inner]
    assert found.by_category()["cpu_op"].pieces == len(outer)
    # What torch counts in whole microseconds here, the file has to the nanosecond.
    counted = sum(event.time_range.elapsed_us() for event in outer) / 1000
    assert found.compute == pytest.approx(counted, abs=0.002 * len(outer))
    assert found.span >= found.compute
    assert [*found.by_annotation()] == ["attn(F)", "attn(B)"]
    assert found.by_annotation()["attn(F)"].pieces == 2  # matmul and relu
    assert (found.devices, found.communication, found.notes, found.truncated) == (("cpu",), 0, (), False)


def record(ctx, path):
    """Start an all-to-all, compute while it runs, wait; then a blocking one."""
    sent, got = torch.ones(2_000_000), torch.empty(2_000_000)
    matrix = torch.randn(400, 400)
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        with record_function("dispatch(F)"):
            work = dist.all_to_all_single(got, sent, async_op=True)
        with record_function("mlp(B)"):
            matrix @ matrix
        work.wait()
        with record_function("combine(F)"):
            dist.all_to_all_single(sent, got)
    recorded.export_chrome_trace(path.format(ctx.rank))


def test_two_ranks(tmp_path):
    Ranks(2).run(record, str(tmp_path / "trace-{}.json.gz"))
    for rank in range(2):
        found = load_profile(tmp_path / f"trace-{rank}.json.gz")
        assert (found.rank, found.world_size, found.devices) == (rank, 2, ("cpu",))
        parts = found.by_annotation()
        assert [*parts] == ["dispatch(F)", "mlp(B)", "combine(F)"]
        assert parts["dispatch(F)"].communication > 0
        assert parts["mlp(B)"].communication == 0 < parts["mlp(B)"].compute
        assert parts["combine(F)"].exposed == parts["combine(F)"].communication > 0  # it blocks, so nothing hides it
        assert found.by_category()["collective"].pieces == 2
        assert found.overlap <= found.compute
        assert found.exposed_communication == pytest.approx(parts["dispatch(F)"].exposed + parts["combine(F)"].exposed)


def test_a_recorded_trace_cut_in_the_middle(tmp_path):
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        for _ in range(50):
            torch.randn(10, 10).relu()
    path = tmp_path / "trace.json.gz"
    recorded.export_chrome_trace(str(path))
    whole = load_profile(path)
    text = gzip.decompress(path.read_bytes())
    (tmp_path / "cut.json").write_bytes(text[: len(text) // 2])
    cut = load_profile(tmp_path / "cut.json")
    assert cut.truncated
    assert 10 < len(cut) < len(whole)
    assert (cut.kernels.start == whole.kernels.start[: len(cut)]).all()
