"""Small traces in the form in which PyTorch's profiler writes them, event by event."""

import json
from itertools import count

from pipelab.profiler import load_profile


class Trace:
    """Events in the order added. Times in µs. `write` puts them in a file, as torch.profiler would."""

    def __init__(self, **header):
        self.header = {"schemaVersion": 1, **header}
        self.events = []
        self._ids = count(1)

    def add(self, category, name, start, duration, pid=100, tid=100, **args):
        event = {"ph": "X", "cat": category, "name": name, "pid": pid, "tid": tid, "ts": start, "dur": duration}
        self.events.append({**event, "args": args})
        return self.events[-1]

    def annotation(self, name, start, duration, thread=100):
        return self.add("user_annotation", name, start, duration, tid=thread)

    def operator(self, name, start, duration, thread=100):
        return self.add("cpu_op", name, start, duration, tid=thread)

    def kernel(self, name, start, duration, stream=7, device=0, launched=None, thread=100, category="kernel"):
        """On the GPU; launched: when on the CPU, on that thread; None: its launch is not in the trace."""
        number = next(self._ids)
        if launched is not None:
            self.add("cuda_runtime", "cudaLaunchKernel", launched, 1, tid=thread, correlation=number)
        return self.add(
            category, name, start, duration, device, stream, device=device, stream=stream, correlation=number
        )

    def text(self):
        return json.dumps({**self.header, "traceEvents": self.events})

    def write(self, folder, name="trace.json"):
        path = folder / name
        path.write_text(self.text())
        return path


def overlapped():
    """Two layers whose all-to-all is partly hidden. The GPU runs up to 100 µs behind the CPU, which then is elsewhere.

    compute   10…40 attn(F), 40…70 mlp(B), 60…90 mlp(B) on a second stream, 110…130 attn(B)
    comm      20…60 dispatch(F), 80…100 combine(B)
    """
    trace = Trace(distributedInfo={"backend": "nccl", "rank": 3, "world_size": 8})
    trace.annotation("ProfilerStep#1", 0, 200)
    trace.annotation("step", 0, 200)
    trace.annotation("attn(F)", 1, 2)
    trace.annotation("dispatch(F)", 3, 2)
    trace.annotation("mlp(B)", 5, 3)
    trace.annotation("combine(B)", 8, 2)
    trace.annotation("attn(B)", 10, 100)
    trace.kernel("gemm", 10, 30, launched=1)
    trace.kernel("ncclDevKernel_SendRecv(Args)", 20, 40, stream=27, launched=3)
    trace.kernel("gemm", 40, 30, launched=5)
    trace.kernel("gemm", 60, 30, stream=23, launched=6)
    trace.kernel("ncclDevKernel_SendRecv(Args)", 80, 20, stream=27, launched=8)
    trace.kernel("gemm", 110, 20, launched=20, thread=777)  # by autograd, while thread 100 waits inside attn(B)
    return trace


def loaded(trace, folder):
    return load_profile(trace.write(folder))


def us(value):
    """Of ms."""
    return round(1000 * value, 6)
