"""Recording: what is needed of a PyTorch profile, as columns of numbers, so that a large file takes little memory."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from functools import partial
from itertools import compress, islice
from typing import Any, TypeVar

import numpy as np
from msgspec import UNSET

from .events import Event

K = TypeVar("K")
V = TypeVar("V")

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
_TABLES = "gpu", "launches", "cpu", "starts", "annotations"
_AT_ONCE = 1 << 13  # events
_FAR = 1 << 62
_NEVER = -_FAR
_EXACT = re.compile(rb"[-eE]")  # in the text of a float: it is no plain one
#: A number's digits behind the point, up to three, after a 1 -> thousandths.
_THOUSANDTHS = np.full(2000, _NEVER)
for _digits in (1, 10, 100, 1000):
    _THOUSANDTHS[_digits : 2 * _digits] = np.arange(_digits) * (1000 // _digits)


class Rows:
    """Rows of whole numbers, eight bytes each, of which a column is read by its name."""

    def __init__(self) -> None:
        names = "start", "end", "stream", "name", "category", "correlation"
        self.columns = {name: array("q") for name in names}

    def extend(self, *columns: np.ndarray) -> None:
        for column, values in zip(self.columns.values(), columns, strict=True):
            column.frombytes(values.tobytes())

    def __getitem__(self, column: str) -> np.ndarray:
        return np.array(self.columns[column], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.columns["start"])


class Numbers(dict[K, int]):
    """Each key's number, in the order in which they are first asked for."""

    def __missing__(self, key: K) -> int:
        self[key] = number = len(self)
        return number


class Known(dict[K, V]):
    """What a function says of each key. It is asked once."""

    def __init__(self, find: Callable[[K], V]) -> None:
        self.find = find

    def __missing__(self, key: K) -> V:
        self[key] = value = self.find(key)
        return value


class Recording:
    """What a profile's events tell, as rows of numbers; times in ns.

    gpu          kernels, copies and fills
    launches     the calls on the CPU that started them: those of the same correlation
    cpu          operators, and collectives of the CPU
    starts       the calls of torch.distributed that started those collectives
    annotations  of the program, as `record_function` makes them
    names, streams
                 what the numbers in the rows mean. A stream is (device, stream), of the CPU ("cpu", thread).
    untimed      how many events of these were left out, because they lack a time or end before they start
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self.gpu, self.launches, self.cpu, self.starts, self.annotations = self._tables = [Rows() for _ in _TABLES]
        self.names, self.streams = Numbers[str](), Numbers[tuple[int | str, int | str]]()
        self.untimed = self.events = 0
        self._kinds = Known(partial(_kind, self.names))
        self._places = Known(partial(_place, self.streams))
        left = iter(events)
        while some := list(islice(left, _AT_ONCE)):
            self.events += len(some)
            self._take([event for event in some if event.ph == "X"])

    @property
    def launched(self) -> int:
        """How many calls start work on a GPU, whether or not that work is in the trace."""
        starts = np.array([bool(_STARTS_WORK.search(name)) for name in self.names], dtype=bool)
        return int(starts[self.launches["name"]].sum())

    def _take(self, events: list[Event]) -> None:
        """Add a row for each of these events that is needed to the table where it belongs."""
        kinds = [self._kinds[event.cat, event.name] for event in events]
        place, name, category = np.array(kinds, dtype=np.int64).reshape(-1, 3).T
        for number in np.unique(place[place >= 0]).tolist():
            here = place == number
            self._add(self._tables[number], list(compress(events, here)), name[here], category[here])

    def _add(self, rows: Rows, events: list[Event], name: np.ndarray, category: np.ndarray) -> None:
        start, length = _ns([event.ts for event in events]), _ns([event.dur for event in events])
        correlation = np.zeros_like(start)
        if rows is self.gpu or rows is self.launches:
            correlation = np.array([_whole(event.args.correlation) for event in events])
        if rows is self.gpu:
            places = [
                (event.pid if args.device is UNSET else args.device, event.tid if args.stream is UNSET else args.stream)
                for event in events
                for args in (event.args,)
            ]
        else:
            places = [(CPU, event.tid) for event in events]
        stream = np.array([self._places[place] for place in places])
        timed = (start > _NEVER) & (length >= 0)
        self.untimed += len(events) - int(timed.sum())
        rows.extend(*(column[timed] for column in (start, start + length, stream, name, category, correlation)))


def _kind(names: Numbers[str], what: tuple[str, str]) -> tuple[int, int, int]:
    """Of events of this category and name: the numbers of their table, -1 if there is none, name, and category."""
    table, category = _table(what[0].lower(), what[1])
    return (_TABLES.index(table), names[what[1]], names[category]) if table else (-1, 0, 0)


def _table(category: str, name: str) -> tuple[str, str]:
    """Where such events belong, "" if they are not needed; and what their category is called."""
    if "runtime" in category or "driver" in category:
        return "launches", category
    if category in GPU_WORK:
        return "gpu", GPU_WORK[category]
    if category == ANNOTATION and _COLLECTIVE.match(name):
        return "cpu", COLLECTIVE
    if category == ANNOTATION and not name.startswith(_STEP):
        return "annotations", category
    if category in (OPERATOR, "operator") and _STARTS_COLLECTIVE.match(name):
        return "starts", category
    if category in (OPERATOR, "operator") and not _NO_OPERATOR.match(name):
        return "cpu", OPERATOR
    return "", category


def _place(streams: Numbers[tuple[int | str, int | str]], written: tuple[int | str, int | str]) -> int:
    """A stream's number. Some files quote the numbers of devices, streams and threads."""
    device, stream = (int(text) if text.isdecimal() else text for text in map(str, written))
    return streams[device, stream]


def _ns(times: list[Any]) -> np.ndarray:
    """Whole nanoseconds of times in µs, whole numbers or text; _NEVER for anything else."""
    try:
        text = b" ".join(times)  # of floats alone
    except TypeError:
        text = b"-"
    if not _EXACT.search(text):
        whole, part = np.fromstring(text.replace(b".", b" 1"), dtype=np.int64, sep=" ").reshape(-1, 2).T
        if part.max() < len(_THOUSANDTHS):
            ns = 1000 * np.minimum(whole, _FAR // 1000 + 1) + _THOUSANDTHS[part]
            return np.where(ns < _FAR, ns, _NEVER)
    return np.array([_one_ns(time) for time in times])


def _one_ns(time: Any) -> int:
    try:
        text = time.decode() if isinstance(time, bytes) else time
        ns = time * 1000 if type(time) is int else round(1000 * Decimal(text))
    except (TypeError, ValueError, OverflowError, InvalidOperation):
        return _NEVER
    return ns if -_FAR < ns < _FAR else _NEVER


def _whole(correlation: Any) -> int:
    """A correlation id; 0 where there is none, as the profiler has it."""
    return correlation if type(correlation) is int and abs(correlation) < _FAR else 0
