"""Recording: what is needed of a PyTorch profile, as columns of numbers, so that a large file takes little memory."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np

GPU_WORK = {"kernel": "kernel", "gpu_memcpy": "gpu_memcpy", "gpu_memset": "gpu_memset"}
GPU_WORK |= {"memcpy": "gpu_memcpy", "memset": "gpu_memset"}  # older names
OPERATOR, COLLECTIVE, ANNOTATION = "cpu_op", "collective", "user_annotation"
CPU = "cpu"

# On the CPU a collective shows as an annotation of its backend, from its start to its end, on a thread of its own.
_COLLECTIVE = re.compile(r"(?:gloo|mpi|nccl|ucc|xccl):")
_STARTS_COLLECTIVE = re.compile(r"c10d::")
# What only wraps operators, as a node of autograd does, or deals with collectives, may wait for others inside.
_NO_OPERATOR = re.compile(r"(?:torch::)?autograd::|_?c10d|(?!.*::)")
_STARTS_WORK = re.compile("launch|memcpy|memset", re.IGNORECASE)
_STEP = "ProfilerStep#"
_FAR = 1 << 62


class Rows:
    """Rows of whole numbers, eight bytes each, of which a column is read by its name."""

    def __init__(self, *columns: str) -> None:
        self.columns = {name: array("q") for name in columns}

    def add(self, *row: int) -> None:
        for column, value in zip(self.columns.values(), row, strict=True):
            column.append(value)

    def __getitem__(self, column: str) -> np.ndarray:
        return np.array(self.columns[column], dtype=np.int64)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


class Recording:
    """What a profile's events tell, as rows of numbers; times in ns.

    gpu          kernels, copies and fills
    launches     the calls on the CPU that started them: those of the same correlation
    cpu          operators, and collectives of the CPU
    starts       the calls of torch.distributed that started those collectives
    annotations  of the program, as `record_function` makes them
    names, streams
                 what the numbers in the rows mean. A stream is (device, stream), of the CPU ("cpu", thread).
    launched     how many calls start work on a GPU, whether or not that work is in the trace
    untimed      how many events were left out, because they lack a time or end before they start
    """

    def __init__(self, events: Iterable[dict[str, Any]]) -> None:
        self.gpu = Rows("start", "end", "stream", "name", "category", "correlation")
        self.launches = Rows("start", "stream", "correlation")
        self.cpu = Rows("start", "end", "stream", "name", "category")
        self.starts = Rows("start", "stream", "name")
        self.annotations = Rows("start", "end", "stream", "name")
        self.names: dict[str, int] = {}
        self.streams: dict[tuple[int | str, int | str], int] = {}
        self.launched = self.untimed = self.events = 0
        for event in events:
            self.events += 1
            if event.get("ph") == "X":
                self._take(event, str(event.get("cat")).lower())

    def _take(self, event: dict[str, Any], category: str) -> None:
        launches = "runtime" in category or "driver" in category
        if not launches and category not in GPU_WORK and category not in (OPERATOR, "operator", ANNOTATION):
            return
        start, length = _ns(event.get("ts")), _ns(event.get("dur", 0))
        if start is None or length is None or length < 0:
            self.untimed += 1
            return
        name, args = str(event.get("name", "")), event.get("args")
        args = args if isinstance(args, dict) else {}
        if category in GPU_WORK:
            stream = self._stream(args.get("device", event.get("pid")), args.get("stream", event.get("tid")))
            row = self._number(name), self._number(GPU_WORK[category]), _whole(args.get("correlation"))
            self.gpu.add(start, start + length, stream, *row)
            return
        thread = self._stream(CPU, event.get("tid"))
        if launches:
            self.launches.add(start, thread, _whole(args.get("correlation")))
            self.launched += bool(_STARTS_WORK.search(name))
        elif category != ANNOTATION:
            if _STARTS_COLLECTIVE.match(name):
                self.starts.add(start, thread, self._number(name))
            elif not _NO_OPERATOR.match(name):
                self.cpu.add(start, start + length, thread, self._number(name), self._number(OPERATOR))
        elif _COLLECTIVE.match(name):
            self.cpu.add(start, start + length, thread, self._number(name), self._number(COLLECTIVE))
        elif not name.startswith(_STEP):
            self.annotations.add(start, start + length, thread, self._number(name))

    def _number(self, name: str) -> int:
        return self.names.setdefault(name, len(self.names))

    def _stream(self, device: Any, stream: Any) -> int:
        return self.streams.setdefault((_plain(device), _plain(stream)), len(self.streams))


def _ns(value: Any) -> int | None:
    """Whole nanoseconds of a time in µs, a whole number or text; None for anything else."""
    try:
        ns = value * 1000 if type(value) is int else round(1000 * Decimal(value))
    except (TypeError, ValueError, OverflowError, InvalidOperation):
        return None
    return ns if -_FAR < ns < _FAR else None


def _whole(correlation: Any) -> int:
    """A correlation id; 0 where there is none, as the profiler has it."""
    return correlation if type(correlation) is int and abs(correlation) < _FAR else 0


def _plain(value: Any) -> int | str:
    """The number or name of a device, stream or thread, which some files quote."""
    text = str(value)
    return int(text) if text.isdecimal() else text
