"""Limits: what a submission's code may take, and what is said of code that breaks one."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What a submission's code may take, for all questions together.

    Parameters
    ----------
    seconds : float
        Time on the clock.
    memory_bytes : int
        Memory of all its processes.
    printed_bytes, answer_bytes, file_bytes : int
        What it prints, what it returns, and the size of each file that it writes.
    processes : int
        Processes at the same time.

    Examples
    --------
    >>> Limits(seconds=60).memory_bytes
    2147483648
    """

    seconds: float = 10
    memory_bytes: int = 2048 * MB
    printed_bytes: int = MB
    answer_bytes: int = 16 * MB
    file_bytes: int = 16 * MB
    processes: int = 32


def foul_of(verdict: Mapping[str, Any], limits: Limits) -> str:
    """Why none of the answers count; empty if they do."""
    if not verdict:
        return "your code stopped or ended the process that watches it, or the system did"
    left = verdict.get("left")
    foul = {
        "printed": f"printed more than {limits.printed_bytes / MB:g} MB",
        "answered": f"returned more than {limits.answer_bytes / MB:g} MB",
        "processes": f"started more than {limits.processes} processes; they were ended",
        "memory": f"took more than {limits.memory_bytes / MB:g} MB of memory",
        None: f"left {left} process{'es' * (left != 1)} running, which had to be ended" if left else "",
    }.get(verdict.get("beyond"))
    return f"your code {foul}" if foul else ""


def why_unanswered(verdict: Mapping[str, Any], limits: Limits) -> str:
    """Why questions have no answer."""
    if verdict.get("beyond") == "time":
        return f"no answer within {limits.seconds:g} s: an endless loop?"
    status = verdict.get("status")
    if isinstance(status, int) and status < 0:
        with contextlib.suppress(ValueError):
            return f"no answer: your code was ended by {signal.Signals(-status).name}"
    return f"no answer: your code ended its process (exit status {status})" if status is not None else "no answer"
