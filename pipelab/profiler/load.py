"""Load: a profile from the trace file that PyTorch's profiler wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .events import TraceFile
from .kernels import Works, works
from .profile import Profile
from .recording import Recording


def load_profile(path: str | Path, *, communication: str | None = None) -> Profile:
    """Read a trace that `torch.profiler` wrote (`export_chrome_trace`, or a trace handler), as .json or gzipped.

    communication   a regular expression for names of kernels that communicate, in either case, instead of
                    COMMUNICATION_KERNELS: NCCL's, DeepEP's and the like

    A trace that is cut off, damaged in places or lacks fields is read as far as it goes, and its `notes` say so. A
    trace without any GPU is one of the CPU: its streams are threads, its work the outermost operators, and collectives
    (gloo's, say) its communication. What only wraps operators, as a node of autograd does, is no work: it may wait.

    The file is read piece by piece, and may be larger than memory. OSError for a file that can't be read, ValueError
    for one that is no trace.

    >>> import json, tempfile
    >>> kernel = {"ph": "X", "cat": "kernel", "name": "ncclKernel", "ts": 0, "dur": 5, "args": {"stream": 20}}
    >>> with tempfile.NamedTemporaryFile("w") as file:
    ...     json.dump([kernel, {**kernel, "name": "gemm", "ts": 3, "args": {"stream": 7}}], file)
    ...     file.flush()
    ...     load_profile(file.name).exposed_communication
    0.003
    """
    trace = TraceFile(path)
    recording = Recording(trace)
    if not recording.events:
        raise ValueError(f"{path} is no trace: its list of events is empty")
    other, distributed = (trace.header.get(key) for key in ("otherData", "distributedInfo"))
    if isinstance(other, dict) and other.get("format") == "pipelab":
        raise ValueError(f"{path} is a timeline that pipelab wrote, not a profile: from_chrome_trace reads its text")
    found = works(recording, communication)
    process = distributed if isinstance(distributed, dict) else {}
    rank, world_size = (n if isinstance(n, int) else None for n in map(process.get, ("rank", "world_size")))
    return Profile(trace.path.name, found, rank, world_size, trace.truncated, tuple(_notes(trace, recording, found)))


def _notes(trace: TraceFile, recording: Recording, found: Works) -> Iterator[str]:
    """What is amiss, in plain sentences."""
    if trace.truncated:
        yield "the file is cut off: what else happened is missing"
    if trace.damaged:
        yield f"{trace.damaged} events could not be read and are missing"
    if recording.untimed:
        yield f"{recording.untimed} events have no time, or a negative duration, and are missing"
    if found.lost and len(recording.annotations):
        yield f"the launches of {found.lost} of {len(found.start)} pieces of work are missing: no annotation is theirs"
    if not len(found.start):
        launched = f"launches of work on a GPU ({recording.launched}), but not that work"
        yield f"the trace shows {launched if recording.launched else 'no work: no kernel, and no operator on the CPU'}"
