"""Loading: traces with every oddity that they have, and files that are no profile."""

import gzip
import json

import pytest

from pipelab import simulate
from pipelab.profiler import load_profile
from pipelab.schedules import gpipe
from pipelab.timeline import to_chrome_trace
from tests.profiler.traces import Trace, loaded, overlapped, us


@pytest.mark.parametrize("base", [0, 1_740_461_679_470_692])
@pytest.mark.parametrize("kind", [int, float, str])
def test_times_as_whole_numbers_floats_or_text(tmp_path, base, kind):
    """To the nanosecond, also of microseconds since 1970, for which a float has not the digits."""
    trace = Trace()
    trace.kernel("gemm", "START", "LENGTH")
    trace.kernel("nccl", "LATER", "LENGTH", stream=8)
    numbers = {"START": (base, "250"), "LATER": (base + 1, "000"), "LENGTH": (2, "125")}
    text = trace.text()
    for key, (whole, fraction) in numbers.items():
        number = f"{whole}.{fraction}" if kind is not int else str(whole)
        text = text.replace(f'"{key}"', f'"{number}"' if kind is str else number)
    (tmp_path / "trace.json").write_text(text)
    profile = load_profile(tmp_path / "trace.json")
    assert (profile.kernels.end - profile.kernels.start).tolist() == [2000 if kind is int else 2125] * 2
    assert us(profile.exposed_communication) == (1 if kind is int else 0.75)


def test_events_that_lack_fields(tmp_path):
    trace = overlapped()
    before = loaded(trace, tmp_path)
    nothing = {"ph": "X", "cat": "kernel"}
    trace.events += [
        {},
        {"ph": "X"},
        {"ph": "X", "cat": "kernel", "name": "gemm", "dur": 5},  # when?
        {"ph": "X", "cat": "kernel", "name": "gemm", "ts": 30, "dur": -5, "args": {"stream": 7}},
        {"ph": "X", "cat": "kernel", "name": "gemm", "ts": "soon", "dur": 5},
        {"ph": "X", "cat": "kernel", "name": "gemm", "ts": 10**30, "dur": 5},
        {"ph": "X", "cat": 5, "ts": 1, "dur": 5},
        {"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "python"}},
        7,
    ]
    # No name, no arguments: stream and device are then thread and process. No duration: none.
    trace.events.append({**nothing, "pid": 0, "tid": 7, "ts": 100, "dur": 4})
    trace.events.append({**nothing, "pid": 0, "tid": 7, "ts": 105, "args": None})
    profile = loaded(trace, tmp_path)
    assert len(profile) == len(before) + 2
    assert us(profile.compute - before.compute) == 4
    assert profile.streams == before.streams
    assert profile.notes == (
        "1 events could not be read and are missing",
        "4 events have no time, or a negative duration, and are missing",
        "the launches of 2 of 8 pieces of work are missing: no annotation is theirs",
    )
    assert [*profile.by_annotation()][-1] == ""


def test_a_cut_off_trace(tmp_path):
    text = overlapped().text()
    path = tmp_path / "trace.json.gz"
    path.write_bytes(gzip.compress(text[: text.rindex("gemm")].encode()))
    profile = load_profile(path)
    assert profile.truncated
    assert us(profile.compute) == 80
    assert profile.notes == ("the file is cut off: what else happened is missing",)
    assert "note: the file is cut off" in str(profile)


def test_streams_in_quotes_are_the_same_streams(tmp_path):
    trace = Trace()
    trace.kernel("gemm", 0, 5, 7, 0)
    trace.kernel("gemm", 5, 5, "7", "0")
    assert loaded(trace, tmp_path).streams == ((0, 7),)


def test_older_names_of_categories(tmp_path):
    trace = Trace()
    trace.annotation("fwd", 0, 5)
    trace.kernel("gemm", 10, 5, launched=1, category="Kernel")
    trace.kernel("Memset (Device)", 15, 5, category="Memset")
    trace.kernel("Memcpy DtoD (Device -> Device)", 20, 5, category="Memcpy")
    for event in trace.events:
        event["cat"] = {"cuda_runtime": "Runtime"}.get(event["cat"], event["cat"])
    profile = loaded(trace, tmp_path)
    assert [*profile.by_category()] == ["kernel", "gpu_memset", "gpu_memcpy"]
    assert us(profile.compute) == 15
    assert us(profile.by_annotation()["fwd"].union) == 5


def test_no_work_at_all(tmp_path):
    trace = Trace()
    trace.annotation("attn(F)", 0, 10)
    profile = loaded(trace, tmp_path)
    assert profile.notes == ("the trace shows no work: no kernel, and no operator on the CPU",)
    assert json.dumps(profile.summary())


def test_a_timeline_of_pipelab_is_no_profile(tmp_path):
    path = tmp_path / "trace.json"
    path.write_text(to_chrome_trace(simulate(gpipe(2, 2))))
    with pytest.raises(ValueError, match="a timeline that pipelab wrote, not a profile: from_chrome_trace reads"):
        load_profile(path)


@pytest.mark.parametrize("text", ["[]", '{"traceEvents": []}', "[", '{"traceEvents": [\n'])
def test_a_list_without_events(tmp_path, text):
    (tmp_path / "trace.json").write_text(text)
    with pytest.raises(ValueError, match="is no trace: its list of events is empty"):
        load_profile(tmp_path / "trace.json")
