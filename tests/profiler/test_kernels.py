"""Kernels: what each one does, and which annotation launched it; on GPUs, and on the CPU where there is none."""

import pytest
from hypothesis import given, settings, strategies as st

from pipelab.profiler import load_profile
from tests.profiler.traces import Trace, loaded, overlapped, us


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


intervals = st.tuples(st.integers(0, 40), st.integers(0, 10))
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


def test_many_kernels_of_one_launch(tmp_path):
    """A CUDA graph."""
    trace = Trace()
    trace.annotation("graph", 0, 5)
    trace.add("cuda_runtime", "cudaGraphLaunch", 1, 1, correlation=77)
    for start in (10, 20, 30):
        trace.add("kernel", "gemm", start, 5, 0, 7, device=0, stream=7, correlation=77)
    assert loaded(trace, tmp_path).by_annotation()["graph"].pieces == 3


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
