"""Profiles: by hand, and against a reckoning by single microseconds."""

import json
from itertools import product

import pytest
from hypothesis import given, settings, strategies as st

from tests.profiler.traces import Trace, loaded, overlapped, us


def seen(part):
    """A part's times in µs: busy, union, compute, communication, exposed."""
    return tuple(us(time) for time in part[1:])


def test_by_hand(tmp_path):
    profile = loaded(overlapped(), tmp_path)
    assert (profile.rank, profile.world_size, profile.devices) == (3, 8, (0,))
    assert us(profile.span) == 120
    assert us(profile.compute) == 100  # 10 to 90, though two streams compute at 60 to 70, and 110 to 130
    assert us(profile.communication) == 60
    assert us(profile.overlap) == 50
    assert us(profile.exposed_communication) == 10  # 90 to 100
    assert us(profile.idle) == 10  # 100 to 110
    assert {stream: seen(part) for stream, part in profile.by_stream().items()} == {
        (0, 7): (80, 80, 80, 0, 0),
        (0, 23): (30, 30, 30, 0, 0),
        (0, 27): (60, 60, 0, 60, 10),
    }
    assert {name: seen(part) for name, part in profile.by_category().items()} == {"kernel": (170, 110, 100, 60, 10)}
    assert not profile.truncated
    assert profile.notes == ()


def test_blocks_and_exposures(tmp_path):
    profile = loaded(overlapped(), tmp_path)
    found = [(b.device, b.role, b.annotation, us(b.start), us(b.end)) for b in profile.blocks()]
    assert found == [
        (0, "computation", "attn(F)", 0, 30),
        (0, "communication", "dispatch(F)", 10, 50),
        (0, "computation", "mlp(B)", 30, 80),
        (0, "communication", "combine(B)", 70, 90),
        (0, "computation", "attn(B)", 100, 120),
    ]
    assert [(us(b.start), us(b.end)) for b in profile.exposures()] == [(80, 90)]


def test_an_annotation_that_comes_again_is_a_block_of_its_own(tmp_path):
    trace = Trace()
    for layer in range(3):
        trace.annotation("attn", 10 * layer, 9)
        trace.kernel("gemm", 100 + 20 * layer, 20, launched=10 * layer + 1)
    trace.kernel("gemm", 200, 10)
    profile = loaded(trace, tmp_path)
    assert [(us(b.start), us(b.end), b.annotation) for b in profile.blocks()] == [
        (0, 20, "attn"),
        (20, 40, "attn"),
        (40, 60, "attn"),
        (100, 110, ""),
    ]
    assert profile.by_annotation()["attn"].pieces == 3
    assert profile.notes == ("the launches of 1 of 4 pieces of work are missing: no annotation is theirs",)


def test_several_devices(tmp_path):
    """One device's computation hides nothing of another's communication."""
    trace = Trace()
    for device in (1, 0):
        trace.kernel("gemm", 0 if device else 50, 50, 7, device)
        trace.kernel("ncclKernel", 0, 50, 20, device)
    profile = loaded(trace, tmp_path)
    assert profile.devices == (0, 1)
    assert profile.streams == ((0, 7), (0, 20), (1, 7), (1, 20))
    assert [us(profile.on(device).exposed_communication) for device in (0, 1)] == [50, 0]
    assert us(profile.exposed_communication) == 50
    assert us(profile.idle) == 50
    with pytest.raises(ValueError, match="device 2 does nothing here; at work: 0, 1"):
        profile.on(2)


def test_a_copy_from_the_host_hides_nothing(tmp_path):
    trace = Trace()
    trace.kernel("Memcpy HtoD (Pinned -> Device)", 0, 10, 7, category="gpu_memcpy")
    trace.kernel("ncclKernel", 0, 10, 20)
    profile = loaded(trace, tmp_path)
    assert (us(profile.compute), us(profile.exposed_communication), us(profile.idle)) == (0, 10, 0)
    assert {block.role for block in profile.blocks()} == {"host copy", "communication"}


def test_a_table_of_it_all(tmp_path):
    profile = loaded(overlapped(), tmp_path)
    text = str(profile)
    assert text.splitlines()[0] == "trace.json · rank 3 of 8 · 1 GPU · 6 pieces of work · times in ms"
    assert "hidden communication   0.05  (83.3 %)" in text
    assert [line.split()[0] for line in text.splitlines()[-6:]] == [
        "annotation",
        "attn(F)",
        "dispatch(F)",
        "mlp(B)",
        "combine(B)",
        "attn(B)",
    ]
    figures, *_, annotations = profile.tables()
    assert figures["exposed communication"][1] == profile.exposed_communication
    assert annotations["mlp(B)"][1:] == profile.by_annotation()["mlp(B)"]
    assert profile._repr_html_().count("<table") == 4


def test_figures_as_json(tmp_path):
    profile = loaded(overlapped(), tmp_path)
    figures = json.loads(json.dumps(profile.summary()))
    assert us(figures["exposed_communication_ms"]) == 10
    assert us(figures["by_stream"]["0/27"]["communication"]) == 60
    assert figures["by_annotation"]["mlp(B)"]["pieces"] == 2


intervals = st.tuples(st.integers(0, 40), st.integers(0, 10))


kernels = st.lists(st.tuples(st.sampled_from([0, 1]), st.sampled_from([7, 20, 23]), intervals), min_size=1, max_size=14)


@given(kernels)
@settings(max_examples=150)
def test_times_by_counting_microseconds(folder, rows):
    """Streams 7 and 23 compute, stream 20 communicates; each of two devices for itself."""
    trace, busy = Trace(), {key: set() for key in product([0, 1], ["compute", "comm"])}
    for device, stream, (start, length) in rows:
        trace.kernel("ncclKernel" if stream == 20 else "gemm", start, length, stream, device)
        busy[device, "comm" if stream == 20 else "compute"] |= set(range(start, start + length))
    profile = loaded(trace, folder)
    for device in profile.devices:
        compute, comm = busy[device, "compute"], busy[device, "comm"]
        mine = profile.on(device)
        assert (us(mine.compute), us(mine.communication)) == (len(compute), len(comm))
        assert (us(mine.overlap), us(mine.exposed_communication)) == (len(compute & comm), len(comm - compute))
        assert us(mine.span - mine.idle) == len(compute | comm)
        assert us(sum(block.end - block.start for block in mine.exposures())) == len(comm - compute)
    assert us(profile.compute) == sum(len(busy[device, "compute"]) for device in (0, 1))
    starts, ends = zip(*((start, start + length) for _, _, (start, length) in rows), strict=True)
    assert us(profile.span) == max(ends) - min(starts)
    assert sum(part.pieces for part in profile.by_stream().values()) == len(rows)
