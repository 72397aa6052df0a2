"""Profile: what PyTorch's profiler recorded, and how much of its communication computation hides."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ..table import Table
from ..timeline import Intervals
from .kernels import COMMUNICATION, COMPUTATION, ROLES, Kernels
from .recording import CPU

_NS = 1e6  # in a millisecond
#: Properties of a Profile, and what its table calls them.
_FIGURES = {name: name for name in ("span", "compute", "communication")}
_FIGURES |= {"overlap": "hidden communication", "exposed_communication": "exposed communication", "idle": "idle"}
_BRIDGED = 0.001  # of the span: shorter gaps do not end a block


class Part(NamedTuple):
    """What some of the work comes to. Times are in ms and, of several devices, summed.

    pieces          kernels, copies and fills; on the CPU operators and collectives
    busy            their summed durations
    union           time in which at least one of them runs
    compute         time in which at least one of them computes
    communication   time in which at least one of them communicates
    exposed         the part of that in which nothing at all computes on the device
    """

    pieces: int
    busy: float
    union: float
    compute: float
    communication: float
    exposed: float


class ProfileBlock(NamedTuple):
    """Work of one role on one device, launched in one annotation ("" for none), with no gaps to speak of; in ms."""

    device: int | str
    role: str
    annotation: str
    start: float
    end: float


@dataclass(frozen=True, eq=False, repr=False)
class Profile:
    """What ran on the devices of one process, and when. :func:`load_profile` reads it from a trace.

    Work is *computation*, *communication* (known by its kernel's name, or because its stream is there for
    communication) or a *host copy*, which is neither. Times are in ms. They are lengths of unions, not sums: while two
    streams of a device compute, it computes once. Figures of several devices are sums over them; `on` has one device's.

    Parameters
    ----------
    name : str
        The file's name.
    kernels : Kernels
        Every piece of work, in columns.
    rank, world_size : int or None
        Of the process, where the file knows them.
    truncated : bool
        Is the file cut off?
    notes : tuple of str
        What is amiss with the file, in plain sentences.

    Examples
    --------
    >>> import json, pathlib, tempfile
    >>> from pipelab.profiler import load_profile
    >>> kernel = {"ph": "X", "cat": "kernel", "name": "gemm", "ts": 0, "dur": 5000, "args": {"stream": 7}}
    >>> exchange = {**kernel, "name": "ncclKernel", "ts": 3000, "args": {"stream": 20}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "trace.json")
    ...     _ = path.write_text(json.dumps([kernel, exchange]))
    ...     profile = load_profile(path)
    >>> profile.tables()[0]
    trace.json · 1 GPU · 2 pieces of work · times in ms
    span                   8.00
    compute                5.00
    communication          5.00
    hidden communication   2.00  (40.0 %)
    exposed communication  3.00
    idle                   0.00
    """

    name: str
    kernels: Kernels
    rank: int | None = None
    world_size: int | None = None
    truncated: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Pieces of work."""
        return len(self.kernels.start)

    @cached_property
    def streams(self) -> tuple[tuple[int | str, int | str], ...]:
        """(device, stream) of every stream at work; of the CPU ("cpu", thread)."""
        there = (self.kernels.streams[i] for i in np.unique(self.kernels.stream))
        return tuple(sorted(there, key=lambda stream: [(isinstance(part, str), part) for part in stream]))

    @property
    def devices(self) -> tuple[int | str, ...]:
        """Numbers of the GPUs at work; ("cpu",) where there is none."""
        return tuple(dict.fromkeys(device for device, _ in self.streams))

    def on(self, device: int | str) -> Profile:
        """The same for one device; ValueError for a device that does nothing."""
        if device not in self.devices:
            raise ValueError(f"device {device!r} does nothing here; at work: {', '.join(map(str, self.devices))}")
        chosen = self._device == self.devices.index(device)
        columns = {key: value[chosen] for key, value in self.kernels._asdict().items() if isinstance(value, np.ndarray)}
        return replace(self, kernels=self.kernels._replace(**columns))

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def span(self) -> float:
        """From the first start to the last end, over all devices."""
        return int(self.kernels.end.max() - self.kernels.start.min()) / _NS if len(self) else 0.0

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
        """Time in which a device does both, so that its communication is hidden."""
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
        number = {stream: i for i, stream in enumerate(self.kernels.streams)}
        return {stream: self._part(np.flatnonzero(self.kernels.stream == number[stream])) for stream in self.streams}

    def by_category(self) -> dict[str, Part]:
        """{category: its work}: kernel, gpu_memcpy, gpu_memset; on the CPU cpu_op and collective."""
        return self._by(self.kernels.category, np.arange(len(self)))

    def by_annotation(self) -> dict[str, Part]:
        """{name: its work} in the order in which the annotations first begin; work without one comes last, as "".

        Work counts for the innermost annotation around its *launch*, found by its correlation id: when a GPU gets to
        it, the program may be in quite another place.
        """
        last = np.iinfo(np.int64).max
        return self._by(self.kernels.annotation, np.where(self.kernels.occurrence < 0, last, self.kernels.occurrence))

    def _by(self, column: np.ndarray, place: np.ndarray) -> dict[str, Part]:
        """One part for each name in a column, ordered by the lowest place of its work."""
        groups = sorted(_groups(column), key=lambda group: place[group].min())
        return {self._name(column[group[0]]): self._part(group) for group in groups}

    def _name(self, number: int) -> str:
        return self.kernels.names[number] if number >= 0 else ""

    def _part(self, chosen: np.ndarray) -> Part:
        """Of the chosen kernels: indices, in order."""
        times = np.zeros(4, dtype=np.int64)
        for device, computing in enumerate(self._computing):
            mine = chosen[self._device[chosen] == device]
            compute, communication = (self._when(mine, role) for role in (COMPUTATION, COMMUNICATION))
            exposed = communication.total - communication.shared(computing)
            times += [self._when(mine).total, compute.total, communication.total, exposed]
        busy = int((self.kernels.end - self.kernels.start)[chosen].sum())
        return Part(len(chosen), *(time / _NS for time in (busy, *times.tolist())))

    @cached_property
    def _device(self) -> np.ndarray:
        """[works] an index into `devices`; -1 in entries of streams that do nothing."""
        number = {device: i for i, device in enumerate(self.devices)}
        return np.array([number.get(device, -1) for device, _ in self.kernels.streams], dtype=int)[self.kernels.stream]

    @cached_property
    def _computing(self) -> list[Intervals]:
        """When each device computes."""
        return [self._when(self._device == device, COMPUTATION) for device in range(len(self.devices))]

    def _when(self, chosen: np.ndarray, role: int | None = None) -> Intervals:
        """When one of the chosen kernels runs: indices, or a mask."""
        start, end, roles = (column[chosen] for column in (self.kernels.start, self.kernels.end, self.kernels.role))
        return Intervals(start, end) if role is None else Intervals(start[roles == role], end[roles == role])

    def blocks(self) -> list[ProfileBlock]:
        """What a device's streams of one role do together, one annotation after the other, by their start.

        An annotation that comes again is another block, and so is what follows a gap. Made to be drawn.
        """
        kernels, found = self.kernels, []
        gap = round(_BRIDGED * self.span * _NS)
        for chosen in _groups((kernels.occurrence * len(ROLES) + kernels.role) * len(self.devices) + self._device):
            bridged, first = Intervals(kernels.start[chosen], kernels.end[chosen] + gap), chosen[0]
            what = self.devices[self._device[first]], ROLES[kernels.role[first]], self._name(kernels.annotation[first])
            found += [self._block(what, start, end - gap) for start, end in bridged]
        return sorted(found, key=lambda block: block.start)

    def exposures(self) -> list[ProfileBlock]:
        """Where a device communicates and computes nothing, by start. Made to be drawn."""
        found = []
        for number, (device, computing) in enumerate(zip(self.devices, self._computing, strict=True)):
            exposed = self._when(self._device == number, COMMUNICATION).minus(computing)
            found += [self._block((device, "exposed", ""), start, end) for start, end in exposed]
        return sorted(found, key=lambda block: block.start)

    def _block(self, what: tuple[int | str, str, str], start: int, end: int) -> ProfileBlock:
        begin = int(self.kernels.start[0])
        return ProfileBlock(*what, (start - begin) / _NS, (end - begin) / _NS)

    # -- shown -------------------------------------------------------------------------------------------------------

    def _parts(self, between: str) -> dict[str, dict[str, Part]]:
        """The work by stream, category and annotation; `between` joins a device and its stream."""
        streams = {between.join(map(str, stream)): part for stream, part in self.by_stream().items()}
        return {"stream": streams, "category": self.by_category(), "annotation": self.by_annotation()}

    def summary(self) -> dict[str, Any]:
        """All figures, as JSON can hold them. A stream's key is "device/stream"."""
        parts = self._parts("/").items()
        return {
            "name": self.name,
            "rank": self.rank,
            "world_size": self.world_size,
            "devices": list(self.devices),
            **{f"{name}_ms": getattr(self, name) for name in _FIGURES},
            **{f"by_{what}": {name: part._asdict() for name, part in each.items()} for what, each in parts},
            "truncated": self.truncated,
            "notes": list(self.notes),
        }

    def tables(self) -> list[Table]:
        """All figures; then the work by stream, by category and by annotation, and what is amiss with the file."""
        where = "CPU" if CPU in self.devices else f"{len(self.devices)} GPU{'s' * (len(self.devices) != 1)}"
        process = f" · rank {self.rank} of {self.world_size}" if self.rank is not None else ""
        hidden = f"({100 * self.overlap / self.communication:.1f} %)" if self.communication else ""
        figures = [(said, getattr(self, name), hidden if name == "overlap" else "") for name, said in _FIGURES.items()]
        title = f"{self.name}{process} · {where} · {len(self)} pieces of work · times in ms"
        found: list[Table] = [Table(figures, formats=dict.fromkeys(_FIGURES.values(), ".2f"), title=title)]
        for what, parts in self._parts(" ").items():
            rows = [(name or "(none)", *part) for name, part in parts.items()]
            notes = [f"note: {note}" for note in self.notes if what == "annotation"]
            formats = dict.fromkeys(Part._fields[1:], ".2f")
            found.append(Table(rows, [what, *Part._fields], formats=formats, notes=notes))
        return found

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.tables()))

    def _repr_html_(self) -> str:
        return "<br>".join(table._repr_html_() for table in self.tables())

    def __repr__(self) -> str:
        return f"<Profile {self.name}: {len(self)} pieces of work in {self.span:.2f} ms>"


def _groups(column: np.ndarray) -> list[np.ndarray]:
    """Indices of equal entries, in order."""
    order = np.argsort(column, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(column[order])) + 1) if len(column) else []
