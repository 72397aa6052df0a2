"""Profile: what PyTorch's profiler recorded, and how much of its communication computation hides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any, NamedTuple

import numpy as np

from ..timeline.intervals import Cover
from .kernels import COMMUNICATION, COMPUTATION, ROLES, Works
from .recording import CPU

_NS = 1e6  # in a millisecond
_BRIDGED = 0.001  # of the span: gaps as short as that don't end a block


class Part(NamedTuple):
    """What some of the work comes to. Times in ms; of several devices, their sum.

    pieces          of work: kernels, copies, fills; on the CPU operators and collectives
    busy            their summed durations
    union           time in which at least one of them runs
    compute         time in which at least one of them computes
    communication   time in which at least one of them communicates
    exposed         of that, time in which nothing at all computes on its device
    """

    pieces: int
    busy: float
    union: float
    compute: float
    communication: float
    exposed: float


class Block(NamedTuple):
    """Work of one role on a device, launched in one annotation ("" for none), without gaps to speak of; in ms."""

    device: int | str
    role: str
    annotation: str
    start: float
    end: float


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """What ran on the devices of one process, and when. :func:`load_profile` reads it from a trace.

    name        the file's name
    works       every piece of work, in columns
    rank, world_size
                of the process, where the file knows them
    truncated   is the file cut off?
    notes       what is amiss with it, in plain sentences

    Work is *computation*, *communication* (by its kernel's name, or as its stream is there for communication) or a
    *host copy*, which is neither. Two streams that compute at once compute once: times are lengths of unions, not sums.
    They are in ms; of several devices, sums over the devices, of which each has its own overlap. `on` has one device's.
    """

    name: str
    works: Works
    rank: int | None = None
    world_size: int | None = None
    truncated: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Pieces of work."""
        return len(self.works.start)

    @cached_property
    def streams(self) -> tuple[tuple[int | str, int | str], ...]:
        """(device, stream) of every one that works; of the CPU ("cpu", thread)."""
        there = (self.works.streams[i] for i in np.unique(self.works.stream))
        return tuple(sorted(there, key=lambda stream: [(isinstance(part, str), part) for part in stream]))

    @property
    def devices(self) -> tuple[int | str, ...]:
        """Numbers of the GPUs that work; ("cpu",) where there is none."""
        return tuple(dict.fromkeys(device for device, _ in self.streams))

    def on(self, device: int | str) -> Profile:
        """The same of one device. ValueError for one that does nothing."""
        if device not in self.devices:
            raise ValueError(f"device {device!r} does nothing here; at work: {', '.join(map(str, self.devices))}")
        chosen = self._device == self.devices.index(device)
        columns = {key: value[chosen] for key, value in self.works._asdict().items() if isinstance(value, np.ndarray)}
        return replace(self, works=self.works._replace(**columns))

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def span(self) -> float:
        """From the first start to the last end, over all devices."""
        return int(self.works.end.max() - self.works.start.min()) / _NS if len(self) else 0.0

    @property
    def compute(self) -> float:
        """Time in which a device computes."""
        return self.total.compute

    @property
    def communication(self) -> float:
        """Time in which a device communicates."""
        return self.total.communication

    @property
    def overlap(self) -> float:
        """Time in which a device does both: its communication is hidden."""
        return round(self.communication - self.exposed_communication, 6)  # to the nanosecond

    @property
    def exposed_communication(self) -> float:
        """Time in which a device communicates and computes nothing."""
        return self.total.exposed

    @property
    def idle(self) -> float:
        """Time in which nothing runs on a device: devices · span - busy."""
        return round(len(self.devices) * self.span - self.total.union, 6)

    # -- parts -------------------------------------------------------------------------------------------------------

    @cached_property
    def total(self) -> Part:
        """All work."""
        return self._part(np.arange(len(self)))

    def by_stream(self) -> dict[tuple[int | str, int | str], Part]:
        """{(device, stream): its work}."""
        number = {stream: i for i, stream in enumerate(self.works.streams)}
        return {stream: self._part(np.flatnonzero(self.works.stream == number[stream])) for stream in self.streams}

    def by_category(self) -> dict[str, Part]:
        """{category: its work}: kernel, gpu_memcpy, gpu_memset; on the CPU cpu_op and collective."""
        return self._by(self.works.category, np.arange(len(self)))

    def by_annotation(self) -> dict[str, Part]:
        """{name: its work} in the order in which the annotations first begin; last, if there is any, "": under none.

        Work counts for the innermost annotation around its *launch*, which a correlation id tells: a GPU does it when
        it gets to it, and the program may be in quite another place by then.
        """
        last = np.iinfo(np.int64).max
        return self._by(self.works.annotation, np.where(self.works.occurrence < 0, last, self.works.occurrence))

    def _by(self, column: np.ndarray, place: np.ndarray) -> dict[str, Part]:
        """One part for each name in a column, by the lowest place that its work has."""
        groups = sorted(_groups(column), key=lambda group: place[group].min())
        return {self._name(column[group[0]]): self._part(group) for group in groups}

    def _name(self, number: int) -> str:
        return self.works.names[number] if number >= 0 else ""

    def _part(self, chosen: np.ndarray) -> Part:
        """Of the chosen works: indices, in order."""
        times = np.zeros(4, dtype=np.int64)
        for device, computing in enumerate(self._computing):
            mine = chosen[self._device[chosen] == device]
            compute, communication = (self._cover(mine, role) for role in (COMPUTATION, COMMUNICATION))
            exposed = communication.total - communication.shared(computing)
            times += [self._cover(mine).total, compute.total, communication.total, exposed]
        busy = int((self.works.end - self.works.start)[chosen].sum())
        return Part(len(chosen), *(time / _NS for time in (busy, *times.tolist())))

    @cached_property
    def _device(self) -> np.ndarray:
        """[works] an index into `devices`; -1 in entries of streams that do nothing."""
        number = {device: i for i, device in enumerate(self.devices)}
        return np.array([number.get(device, -1) for device, _ in self.works.streams], dtype=int)[self.works.stream]

    @cached_property
    def _computing(self) -> list[Cover]:
        """When each device computes."""
        mine = (np.flatnonzero(self._device == device) for device in range(len(self.devices)))
        return [self._cover(works, COMPUTATION) for works in mine]

    def _cover(self, chosen: np.ndarray, role: int | None = None) -> Cover:
        if role is not None:
            chosen = chosen[self.works.role[chosen] == role]
        return Cover(self.works.start[chosen], self.works.end[chosen])

    def blocks(self) -> list[Block]:
        """What a device's streams of one role do together, one annotation after the other, by start; to be drawn.

        An annotation that comes again is another block; so is what follows a gap.
        """
        works, found = self.works, []
        gap = round(_BRIDGED * self.span * _NS)
        for chosen in _groups((works.occurrence * len(ROLES) + works.role) * len(self.devices) + self._device):
            bridged, first = Cover(works.start[chosen], works.end[chosen] + gap), chosen[0]
            what = self.devices[self._device[first]], ROLES[works.role[first]], self._name(works.annotation[first])
            for start, end in zip(bridged.start.tolist(), (bridged.end - gap).tolist(), strict=True):
                found.append(self._block(what, start, end))
        return sorted(found, key=lambda block: block.start)

    def exposures(self) -> list[Block]:
        """Where a device communicates and computes nothing, by start; to be drawn."""
        found = []
        for device, computing in zip(self.devices, self._computing, strict=True):
            mine = np.flatnonzero(self._device == self.devices.index(device))
            exposed = self._cover(mine, COMMUNICATION).minus(computing)
            for start, end in zip(exposed.start.tolist(), exposed.end.tolist(), strict=True):
                found.append(self._block((device, "exposed", ""), start, end))
        return sorted(found, key=lambda block: block.start)

    def _block(self, what: tuple[int | str, str, str], start: int, end: int) -> Block:
        begin = int(self.works.start[0])
        return Block(*what, (start - begin) / _NS, (end - begin) / _NS)

    # -- shown -------------------------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """All figures, as JSON can hold them. A stream's key is "device/stream"."""
        return {
            "name": self.name,
            "rank": self.rank,
            "world_size": self.world_size,
            "devices": list(self.devices),
            "span_ms": self.span,
            "compute_ms": self.compute,
            "communication_ms": self.communication,
            "overlap_ms": self.overlap,
            "exposed_communication_ms": self.exposed_communication,
            "idle_ms": self.idle,
            "by_stream": {"/".join(map(str, key)): part._asdict() for key, part in self.by_stream().items()},
            "by_category": {key: part._asdict() for key, part in self.by_category().items()},
            "by_annotation": {key: part._asdict() for key, part in self.by_annotation().items()},
            "truncated": self.truncated,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        gpus = f"{len(self.devices)} GPU{'s' * (len(self.devices) != 1)}"
        where = "CPU" if CPU in self.devices else gpus
        process = f" · rank {self.rank} of {self.world_size}" if self.rank is not None else ""
        hidden = f" ({100 * self.overlap / self.communication:.1f} %)" if self.communication else ""
        figures = [
            ("span", self.span, ""),
            ("compute", self.compute, ""),
            ("communication", self.communication, ""),
            ("hidden communication", self.overlap, hidden),
            ("exposed communication", self.exposed_communication, ""),
            ("idle", self.idle, ""),
        ]
        lines = [f"{self.name}{process} · {where} · {len(self)} pieces of work · times in ms"]
        lines += [f"{what:<22}{value:10.2f}{more}" for what, value, more in figures]
        streams = {" ".join(map(str, stream)): part for stream, part in self.by_stream().items()}
        labelled = {name or "(none)": part for name, part in self.by_annotation().items()}
        for title, parts in (("stream", streams), ("category", self.by_category()), ("annotation", labelled)):
            lines += ["", *_table(title, parts)]
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        return f"<Profile {self.name}: {len(self)} pieces of work in {self.span:.2f} ms>"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def _groups(column: np.ndarray) -> list[np.ndarray]:
    """Indices of equal entries, in order."""
    order = np.argsort(column, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(column[order])) + 1) if len(column) else []


def _table(title: str, parts: dict[str, Part]) -> list[str]:
    width = max(map(len, (title, *parts)))
    head = [title.ljust(width), f"{'pieces':>8}", *(f"{name:>14}" for name in Part._fields[1:])]
    rows = ([n.ljust(width), f"{p.pieces:8}", *(f"{time:14.2f}" for time in p[1:])] for n, p in parts.items())
    return ["".join(row) for row in (head, *rows)]
