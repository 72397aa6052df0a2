"""Load: a profile from the trace file that PyTorch's profiler wrote."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .events import TraceFile
from .kernels import Kernels, label_kernels
from .profile import Profile
from .recording import Recording


def load_profile(path: str | Path, *, communication: str | None = None) -> Profile:
    """Read a trace that `torch.profiler` wrote (`export_chrome_trace`, or a trace handler), as .json or gzipped.

    A trace that is cut off, damaged in places or lacks fields is read as far as it goes, and the profile's `notes` say
    so. The file is read piece by piece, and may be larger than memory.

    Parameters
    ----------
    path : str or Path
    communication : str, optional
        A regular expression for the names of kernels that communicate, in either case. Default:
        COMMUNICATION_KERNELS, which knows those of NCCL, DeepEP and the like.

    Raises
    ------
    OSError
        For a file that can't be read.
    ValueError
        For a file that is not a trace of PyTorch's profiler.

    Notes
    -----
    A trace without any GPU is one of the CPU: its streams are threads, its work is the outermost operators, and its
    communication the collectives (gloo's, say). What only wraps operators, as a node of autograd does, is not work,
    since it may wait.

    Examples
    --------
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
    kernels = label_kernels(recording, communication)
    process = distributed if isinstance(distributed, dict) else {}
    rank, world_size = (n if isinstance(n, int) else None for n in map(process.get, ("rank", "world_size")))
    notes = tuple(_notes(trace, recording, kernels))
    return Profile(trace.path.name, kernels, rank, world_size, trace.truncated, notes)


def _notes(trace: TraceFile, recording: Recording, kernels: Kernels) -> Iterator[str]:
    """What is amiss, in plain sentences."""
    count = len(kernels.start)
    if trace.truncated:
        yield "the file is cut off: what else happened is missing"
    if trace.damaged:
        yield f"{trace.damaged} events could not be read and are missing"
    if recording.untimed:
        yield f"{recording.untimed} events have no time, or a negative duration, and are missing"
    if kernels.lost and len(recording.annotations):
        yield f"the launches of {kernels.lost} of {count} pieces of work are missing: no annotation is theirs"
    if not count:
        launched = f"launches of work on a GPU ({recording.launched}), but not that work"
        yield f"the trace shows {launched if recording.launched else 'no work: no kernel, and no operator on the CPU'}"
