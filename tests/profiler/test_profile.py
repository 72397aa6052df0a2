"""Profiles: by hand, against a reckoning by single microseconds, and with every oddity that traces have."""

import gzip
import json
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelab import gpipe, load_profile, simulate, to_chrome_trace
from tests.profiler.traces import Trace, overlapped

US = 1000  # in a ms


def us(value):
    return round(US * value, 6)


def seen(part):
    """A part's times in µs: busy, union, compute, communication, exposed."""
    return tuple(us(time) for time in part[1:])


def loaded(trace, folder):
    return load_profile(trace.write(folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("profiles")


# -- by hand -----------------------------------------------------------------------------------------------------------


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


def test_work_counts_for_the_annotation_that_launched_it(tmp_path):
    """None of these kernels runs while its annotation is open, and one is launched on autograd's thread."""
    parts = loaded(overlapped(), tmp_path).by_annotation()
    assert [*parts] == ["attn(F)", "dispatch(F)", "mlp(B)", "combine(B)", "attn(B)"]  # as they begin
    assert {name: (part.pieces, us(part.union)) for name, part in parts.items()} == {
        "attn(F)": (1, 30),
        "dispatch(F)": (1, 40),
        "mlp(B)": (2, 50),  # of 60 on two streams
        "combine(B)": (1, 20),
        "attn(B)": (1, 20),
    }
    assert us(parts["combine(B)"].exposed) == 10


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


def test_a_table_of_it_all(tmp_path):
    text = str(loaded(overlapped(), tmp_path))
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


def test_figures_as_json(tmp_path):
    profile = loaded(overlapped(), tmp_path)
    figures = json.loads(json.dumps(profile.summary()))
    assert us(figures["exposed_communication_ms"]) == 10
    assert us(figures["by_stream"]["0/27"]["communication"]) == 60
    assert figures["by_annotation"]["mlp(B)"]["pieces"] == 2


# -- against a reckoning by single microseconds ------------------------------------------------------------------------

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


annotations = st.lists(st.tuples(st.sampled_from([100, 200]), intervals), max_size=8)


@given(annotations, st.lists(st.tuples(st.sampled_from([100, 200, 300]), st.integers(0, 50)), min_size=1, max_size=6))
@settings(max_examples=150)
def test_the_innermost_annotation_around_the_launch(folder, around, launches):
    """That which began last on the launching thread; if that has none, on any."""
    trace = Trace()
    for number, (thread, (start, length)) in enumerate(around):
        trace.annotation(f"{number}", start, length, thread)
    for number, (thread, launched) in enumerate(launches):
        trace.kernel("gemm", 100 + 10 * number, 10, launched=launched, thread=thread)
    kernels = loaded(trace, folder).kernels
    for i, (thread, launched) in enumerate(launches):
        open_ = [(s, t) for t, (s, length) in around if s <= launched < s + length]
        candidates = [start for start, its_thread in open_ if its_thread == thread] or [start for start, _ in open_]
        if not candidates:
            assert kernels.annotation[i] == kernels.occurrence[i] == -1
            continue
        thread_of, (start, length) = around[int(kernels.names[kernels.annotation[i]])]
        assert start == max(candidates)
        assert start <= launched < start + length
        assert thread_of == thread or all(its_thread != thread for _, its_thread in open_)


# -- oddities ----------------------------------------------------------------------------------------------------------


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


def test_streams_in_quotes_are_the_same_streams(tmp_path):
    trace = Trace()
    trace.kernel("gemm", 0, 5, 7, 0)
    trace.kernel("gemm", 5, 5, "7", "0")
    assert loaded(trace, tmp_path).streams == ((0, 7),)


def test_what_runs_on_a_stream_for_communication(tmp_path):
    """Casts before the dispatch are part of it; but where there is only one stream, kernels' names decide."""

    def dispatching(computing_stream):
        trace = Trace()
        trace.kernel("per_token_cast_to_fp8", 0, 1, 27)
        trace.kernel("deep_ep::internode::dispatch<false>", 1, 20, 27)
        trace.kernel("gemm", 0, 10, computing_stream)
        return loaded(trace, tmp_path)

    two, one = dispatching(7), dispatching(27)
    assert (us(two.communication), us(two.exposed_communication)) == (21, 11)
    assert (us(one.communication), us(one.compute)) == (20, 10)


def test_communication_on_the_stream_that_computes(tmp_path):
    """As torch runs a blocking collective. Nothing is hidden then."""
    trace = Trace()
    for i in range(4):
        trace.kernel("gemm", 30 * i, 10)
        trace.kernel("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", 30 * i + 10, 20)
    profile = loaded(trace, tmp_path)
    assert (us(profile.compute), us(profile.communication), us(profile.overlap)) == (40, 80, 0)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("ncclDevKernel_SendRecv(ncclDevKernelArgsStorage<4096ul>)", "communication"),
        ("void dpsk::ep::internode::combine<false, 8>(int4*)", "communication"),
        ("void deep_ep::intranode::dispatch<8>(int4*)", "communication"),
        ("multimem_one_shot_all_reduce_kernel", "communication"),
        ("void vllm::cross_device_reduce_2stage<half, 8>", "communication"),
        ("nvshmemi_transfer", "communication"),
        ("Memcpy PtoP (Device -> Device)", "communication"),
        ("Memcpy HtoD (Pinned -> Device)", "host copy"),
        ("Memcpy DtoH (Device -> Pageable)", "host copy"),
        ("Memcpy DtoD (Device -> Device)", "computation"),
        ("Memset (Device)", "computation"),
        ("void at::native::reduce_kernel<512, 1>", "computation"),
        ("void at::native::_scatter_gather_elementwise_kernel<128, 4>", "computation"),
        ("void cutlass::device_kernel<gemm>", "computation"),
    ],
)
def test_roles_by_name(tmp_path, name, role):
    trace = Trace()
    trace.kernel(name, 0, 5, 9)
    trace.kernel("gemm", 0, 5, 7)
    (part,) = [part for stream, part in loaded(trace, tmp_path).by_stream().items() if stream == (0, 9)]
    times = {"computation": part.compute, "communication": part.communication, "host copy": part.union}
    assert us(times.pop(role)) == 5
    assert role == "host copy" or sum(times.values()) == times["host copy"]


def test_other_names_for_communication(tmp_path):
    trace = Trace()
    trace.kernel("my_halo_exchange", 0, 5, 9)
    trace.kernel("gemm", 0, 3, 7)
    path = trace.write(tmp_path)
    assert us(load_profile(path).communication) == 0
    assert us(load_profile(path, communication="HALO").exposed_communication) == 2


def test_a_copy_from_the_host_hides_nothing(tmp_path):
    trace = Trace()
    trace.kernel("Memcpy HtoD (Pinned -> Device)", 0, 10, 7, category="gpu_memcpy")
    trace.kernel("ncclKernel", 0, 10, 20)
    profile = loaded(trace, tmp_path)
    assert (us(profile.compute), us(profile.exposed_communication), us(profile.idle)) == (0, 10, 0)
    assert {block.role for block in profile.blocks()} == {"host copy", "communication"}


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


def test_what_the_profiler_adds_is_neither_work_nor_label(tmp_path):
    trace = overlapped()
    before = loaded(trace, tmp_path)
    trace.add("gpu_user_annotation", "attn(F)", 0, 500, pid=0, tid=7)
    trace.add("user_annotation", "nccl:all_to_all", 3, 1)  # torch's own, around the launch
    trace.add("user_annotation", "ProfilerStep#2", 0, 300)
    trace.add("Trace", "PyTorch Profiler (0)", 0, 900, pid="Spans", tid="PyTorch Profiler")
    trace.add("python_function", "train.py(3): step", 0, 900)
    trace.operator("aten::mm", 0, 900)
    profile = loaded(trace, tmp_path)
    assert profile.summary() == before.summary()


def test_many_kernels_of_one_launch(tmp_path):
    """A CUDA graph."""
    trace = Trace()
    trace.annotation("graph", 0, 5)
    trace.add("cuda_runtime", "cudaGraphLaunch", 1, 1, correlation=77)
    for start in (10, 20, 30):
        trace.add("kernel", "gemm", start, 5, 0, 7, device=0, stream=7, correlation=77)
    assert loaded(trace, tmp_path).by_annotation()["graph"].pieces == 3


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


# -- without a GPU -----------------------------------------------------------------------------------------------------


def on_cpu():
    """A program that starts an all-to-all, computes, waits for it, and runs autograd; collectives wait in a queue.

    compute   0…10 attn(F), 12…30 mlp(F), 60…80 attn(B)
    comm      20…50 dispatch(F), started at 11 but begun when the program is in mlp(F)
    """
    trace = Trace()
    trace.annotation("attn(F)", 0, 10)
    trace.operator("aten::linear", 0, 10)
    trace.operator("aten::mm", 2, 7)  # by aten::linear
    trace.annotation("dispatch(F)", 10, 2)
    trace.operator("c10d::alltoall_base_", 11, 1)
    trace.annotation("mlp(F)", 12, 20)
    trace.operator("aten::mm", 12, 18)
    trace.add("user_annotation", "gloo:all_to_all", 20, 30, tid=900)
    trace.annotation("attn(B)", 55, 30)
    trace.operator("autograd::engine::evaluate_function: MmBackward0", 55, 30)
    trace.operator("MmBackward0", 56, 28)
    trace.operator("aten::mm", 60, 20)
    return trace


def test_of_the_cpu(tmp_path):
    profile = loaded(on_cpu(), tmp_path)
    assert profile.devices == ("cpu",)
    assert us(profile.span) == 80
    assert us(profile.compute) == 48
    assert (us(profile.communication), us(profile.overlap), us(profile.exposed_communication)) == (30, 10, 20)
    assert {stream: part.pieces for stream, part in profile.by_stream().items()} == {("cpu", 100): 3, ("cpu", 900): 1}
    assert {name: us(part.union) for name, part in profile.by_annotation().items()} == {
        "attn(F)": 10,
        "dispatch(F)": 30,
        "mlp(F)": 18,
        "attn(B)": 20,
    }
    assert [*profile.by_category()] == ["cpu_op", "collective"]
    assert "· CPU ·" in str(profile)
    assert profile.notes == ()


def test_collectives_of_the_cpu_without_their_calls_are_labelled_where_they_begin(tmp_path):
    trace = on_cpu()
    trace.events = [event for event in trace.events if not event["name"].startswith("c10d")]
    assert us(loaded(trace, tmp_path).by_annotation()["mlp(F)"].communication) == 30


def test_each_kind_of_collective_has_a_queue(tmp_path):
    trace = Trace()
    calls = ["allreduce_", "alltoall_base_", "_allgather_base_", "send", "allreduce_"]
    done = ["all_reduce", "send", "all_to_all", "all_gather", "all_reduce"]
    for i, name in enumerate(calls):
        trace.annotation(f"{i} {name}", 10 * i, 9)
        trace.operator(f"c10d::{name}", 10 * i + 1, 1)
    for i, name in enumerate(done):
        trace.add("user_annotation", f"gloo:{name}", 100 + 10 * i, 10, tid=900)
    kernels = loaded(trace, tmp_path).kernels
    labels = [kernels.names[number] for number in kernels.annotation]
    assert labels == ["0 allreduce_", "3 send", "1 alltoall_base_", "2 _allgather_base_", "4 allreduce_"]


def test_a_driver_that_only_synchronises_makes_no_gpu_trace(tmp_path):
    trace = on_cpu()
    trace.add("cuda_runtime", "cudaDeviceSynchronize", 90, 5, correlation=3)
    assert loaded(trace, tmp_path).devices == ("cpu",)


def test_launches_without_their_kernels(tmp_path):
    """Cut off before the kernels, which come last: operators on the CPU are then no answer."""
    trace = on_cpu()
    trace.add("cuda_runtime", "cudaLaunchKernel", 3, 1, correlation=3)
    profile = loaded(trace, tmp_path)
    assert len(profile) == profile.span == profile.compute == profile.idle == 0
    assert profile.devices == profile.streams == ()
    assert profile.blocks() == profile.exposures() == []
    assert profile.by_annotation() == {}
    assert profile.notes == ("the trace shows launches of work on a GPU (1), but not that work",)
    assert "note: the trace shows launches" in str(profile)


def test_no_work_at_all(tmp_path):
    trace = Trace()
    trace.annotation("attn(F)", 0, 10)
    profile = loaded(trace, tmp_path)
    assert profile.notes == ("the trace shows no work: no kernel, and no operator on the CPU",)
    assert json.dumps(profile.summary())
