"""Kernels: what the streams of a profiled program did, each piece of work with the annotation that launched it."""

from __future__ import annotations

import re
from heapq import heappop, heappush
from typing import NamedTuple

import numpy as np

from .recording import COLLECTIVE, Recording, Rows

COMPUTATION, COMMUNICATION, COPY = range(3)
ROLES = ("computation", "communication", "host copy")

#: In the names of kernels that communicate, in either case: NCCL and its kin, DeepEP, PyTorch's, copies between GPUs.
COMMUNICATION_KERNELS = "|".join(
    ["[nr]ccl", "nvshmem", "deep_?ep", "::ep::", "all_?to_?all", "all_?reduce", "all_?gather", "reduce_?scatter"]
    + ["send_?recv", "cross_device_reduce", "Memcpy PtoP"]
)
_HOST_COPY = re.compile("Memcpy.*(HtoD|DtoH|HostToDevice|DeviceToHost)")
_MOSTLY = 0.9  # a stream that communicates for so much of its time is there for that


class Kernels(NamedTuple):
    """Kernels, copies and fills on GPUs by their start, one entry each; without any GPU, operators on the CPU.

    start, end   [kernels] int, ns since the first start
    stream       [kernels] int, an index into `streams`: (device, stream)
    role         [kernels] int, an index into ROLES
    name, category, annotation
                 [kernels] int, indices into `names`. The annotation is the innermost around the launch, -1 for none.
    occurrence   [kernels] int, tells annotations of one name apart, in the order in which they begin; -1 for none
    lost         how many have no launch in the trace
    """

    start: np.ndarray
    end: np.ndarray
    stream: np.ndarray
    role: np.ndarray
    name: np.ndarray
    category: np.ndarray
    annotation: np.ndarray
    occurrence: np.ndarray
    streams: tuple[tuple[int | str, int | str], ...]
    names: tuple[str, ...]
    lost: int


def label_kernels(recording: Recording, communication: str | None = None) -> Kernels:
    """A recording's kernels with their roles and annotations. communication: a pattern for names of communication."""
    names, streams = tuple(recording.names), tuple(recording.streams)
    on_gpu = bool(len(recording.gpu) or recording.launched)
    table = recording.gpu if on_gpu else recording.cpu
    collective = table["category"] == recording.names.get(COLLECTIVE, -1)
    order = np.argsort(table["start"], kind="stable") if on_gpu else _outermost(table, collective)
    start, end, stream, name, category = (table[key][order] for key in ("start", "end", "stream", "name", "category"))
    if on_gpu:
        role = _roles(names, communication or COMMUNICATION_KERNELS)[name]
        _give_streams_one_role(role, end - start, stream, streams)
        launch, found = _launches(recording.launches, table["correlation"][order])
        time, thread = (recording.launches[key][launch] for key in ("start", "stream"))
    else:
        role = np.where(collective[order], COMMUNICATION, COMPUTATION)
        found = np.ones(len(order), dtype=bool)
        time, thread = start.copy(), stream.copy()
        _to_calls(time, thread, recording.starts, np.where(role == COMMUNICATION, name, -1), names)
    around, label = _around(recording.annotations, time, thread)
    occurrence, annotation = np.full((2, len(order)), -1)
    occurrence[found], annotation[found] = around, label
    first = start[0] if len(start) else 0
    columns = start - first, end - first, stream, role, name, category, annotation, occurrence
    return Kernels(*columns, streams, names, int((~found).sum()))


def _outermost(cpu: Rows, collective: np.ndarray) -> np.ndarray:
    """By start: the operators that no other one on their thread called, and all collectives."""
    start, end, stream = cpu["start"], cpu["end"], cpu["stream"]
    order, keep = np.lexsort((-end, start)), collective.copy()
    for thread in np.unique(stream):
        mine = order[((stream == thread) & ~collective)[order]]
        before = np.maximum.accumulate(end[mine])[:-1]
        keep[mine[:1]] = True
        keep[mine[1:]] = (start[mine[1:]] >= before) | (end[mine[1:]] > before)
    return order[keep[order]]


def _roles(names: tuple[str, ...], communication: str) -> np.ndarray:
    """One per name."""
    communicates = re.compile(communication, re.IGNORECASE).search
    roles = (COMMUNICATION if communicates(n) else COPY if _HOST_COPY.search(n) else COMPUTATION for n in names)
    return np.fromiter(roles, dtype=int, count=len(names))


def _give_streams_one_role(role: np.ndarray, length: np.ndarray, stream: np.ndarray, streams: tuple) -> None:
    """On a stream that is there for communication, all but host copies counts as some: casts before a dispatch, say.

    A device has such a stream only beside others: on its only one, kernels are told apart by their names.
    """
    total = np.bincount(stream, length, len(streams))
    share = np.bincount(stream, length * (role == COMMUNICATION), len(streams)) / np.maximum(total, 1)
    computing = {streams[each][0] for each in np.flatnonzero((total > 0) & (share < _MOSTLY))}
    of_communication = [share[i] >= _MOSTLY and device in computing for i, (device, _) in enumerate(streams)]
    role[np.array(of_communication, dtype=bool)[stream] & (role == COMPUTATION)] = COMMUNICATION


def _launches(launches: Rows, correlation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(launch, found): `found` says which kernels have a launch, and `launch` which one these have."""
    known = launches["correlation"]
    order = np.argsort(known, kind="stable")
    at = np.searchsorted(known, correlation, sorter=order)
    found = (correlation != 0) & (at < len(known))
    found[found] = known[order[at[found]]] == correlation[found]
    return order[at[found]], found


def _to_calls(time: np.ndarray, thread: np.ndarray, calls: Rows, name: np.ndarray, names: tuple[str, ...]) -> None:
    """Give each collective of the CPU the time and thread of its call. name: [kernels], -1 for operators.

    The profiler does not tie the two together. Calls wait in a queue, which keeps their order: the n-th collective of a
    kind is the n-th call's, where there are as many of both.
    """
    order = np.argsort(calls["start"], kind="stable")
    called = calls["name"][order]
    kinds: dict[str, list[int]] = {}
    for number in {*name.tolist(), *called.tolist()} - {-1}:
        kinds.setdefault(_kind(names[number]), []).append(number)
    for numbers in kinds.values():
        done, made = np.flatnonzero(np.isin(name, numbers)), order[np.isin(called, numbers)]
        if len(done) == len(made):
            time[done], thread[done] = calls["start"][made], calls["stream"][made]


def _kind(name: str) -> str:
    """What c10d::alltoall_base_ and gloo:all_to_all have in common: alltoall."""
    return "".join(filter(str.isalpha, name.rpartition(":")[2])).removesuffix("base")


def _around(annotations: Rows, time: np.ndarray, thread: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(occurrence, name) of the innermost annotation around each time on each thread; -1 for none.

    Where the thread itself has none, it is that of any thread: autograd launches from threads of its own, while the
    program waits for it inside the annotation.
    """
    order = np.lexsort((-annotations["end"], annotations["start"]))
    start, end, threads, names = (annotations[key][order] for key in ("start", "end", "stream", "name"))
    found = _innermost(start, end, np.arange(len(order)), time)
    for each in np.unique(threads):
        mine, theirs = thread == each, np.flatnonzero(threads == each)
        own = _innermost(start[theirs], end[theirs], theirs, time[mine])
        found[mine] = np.where(own < 0, found[mine], own)
    return found, np.append(names, -1)[found]


def _innermost(start: np.ndarray, end: np.ndarray, number: np.ndarray, time: np.ndarray) -> np.ndarray:
    """The number of the interval around each time that began last, -1 for none. They are ordered by their start."""
    edges = np.unique(np.concatenate([start, end]))
    after = [-1]  # which one it is from each edge on, and before the first
    begun, open_ = 0, []  # type: int, list[tuple[int, int]]
    for edge in edges.tolist():
        while begun < len(start) and start[begun] <= edge:
            heappush(open_, (-begun, int(end[begun])))
            begun += 1
        while open_ and open_[0][1] <= edge:
            heappop(open_)
        after.append(int(number[-open_[0][0]]) if open_ else -1)
    return np.array(after)[np.searchsorted(edges, time, side="right")]
