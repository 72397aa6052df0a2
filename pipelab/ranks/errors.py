"""Errors: what can go wrong with ranks, in plain words."""

from __future__ import annotations

import contextlib
import linecache
import pickle
import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class RankState:
    """Where a rank is: `at`, its action or other work; whether it waits, and for which rank; how far it is."""

    rank: int
    pid: int = 0
    alive: bool = True
    at: str = ""
    waiting: bool = False
    waits_for: int | None = None
    done: int | None = None
    total: int | None = None
    seconds_unchanged: float = 0.0
    line: str = ""  # of Python code, where it was asked for


class RankError(RuntimeError):
    """Ranks failed. Its kinds say how; the next run starts afresh."""


class RankDied(RankError):
    """A rank's process ended before its work was done."""

    def __init__(self, rank: int, status: int | None, at: str = "") -> None:
        super().__init__(rank, status, at)
        self.rank, self.status, self.at = rank, status, at

    def __str__(self) -> str:
        where = f" while at {self.at}" if self.at else ""
        if self.status is None:
            return f"rank {self.rank} is gone{where}; how it ended is not known"
        if self.status < 0:
            name = signal.Signals(-self.status).name
            hint = "; the system does this when memory runs out" if name == "SIGKILL" else ""
            return f"rank {self.rank} was killed by {name}{where}{hint}"
        return f"rank {self.rank} ended with exit status {self.status}{where}, before its work was done"


class _Stuck(RankError):
    def __init__(self, seconds: float, states: Sequence[RankState]) -> None:
        super().__init__(seconds, tuple(states))
        self.seconds, self.states = seconds, tuple(states)


class Deadlock(_Stuck):
    """All ranks wait for each other."""

    def __str__(self) -> str:
        return f"deadlock: all ranks have been waiting for {self.seconds:.0f} s\n{table(self.states)}"


class RankTimeout(_Stuck):
    """A run took longer than its timeout."""

    def __str__(self) -> str:
        return f"not done after {self.seconds:g} s (see timeout=)\n{table(self.states)}"


def portable(error: BaseException) -> bytes | None:
    """The exception in a form that `rebuilt` takes, without its traceback; None if it can't be sent."""
    import cloudpickle

    if not isinstance(error, Exception):
        return None  # sys.exit() on a rank must not end the notebook
    pickled: bytes | None = None
    with contextlib.suppress(Exception):
        whole = cloudpickle.dumps(error)
        pickle.loads(whole)
        pickled = whole
    try:
        parts = cloudpickle.dumps((pickled, type(error), error.args, vars(error)))
        rebuilt(parts)
    except Exception:
        return None
    return parts


def rebuilt(parts: bytes) -> BaseException:
    """The exception, of the class that this process knows it by.

    Unpickling an exception calls its class with its args. Where a constructor takes something else, that fails, or
    gives another message; so the args are set once more.
    """
    pickled, kind, arguments, attributes = pickle.loads(parts)
    error = kind.__new__(kind) if pickled is None else pickle.loads(pickled)
    error.args = arguments
    vars(error).update(attributes)
    return error


def with_source(trace: str) -> str:
    """A rank's traceback with the lines of code that only this process knows: those of notebook cells."""
    lines: list[str] = []
    for line in trace.splitlines():
        if not line.startswith("    "):
            lines += _source_of(lines[-1:])
        lines.append(line)
    return "\n".join(lines)


def _source_of(line: list[str]) -> list[str]:
    """Of a traceback's line that names a file and a number."""
    found = re.match(r'  File "(.+)", line (\d+)', "".join(line))
    source = source_line(found[1], int(found[2])) if found else ""
    return [f"    {source}"] if source else []


def source_line(file: str, number: int) -> str:
    return linecache.getline(file, number).strip()


class Cancelled(RankError):
    """A run was cancelled."""

    def __str__(self) -> str:
        return "cancelled; all ranks are stopped"


def table(states: Sequence[RankState]) -> str:
    """Who waits for whom, one line per rank."""
    lines = []
    for state in states:
        what = "has finished" if not state.alive else f"is at {state.at or 'its own code'}"
        if state.alive and state.waiting:
            what = f"waits at {state.at or 'its own code'}" + (
                f" for rank {state.waits_for}" if state.waits_for is not None else ""
            )
        lines.append(f"  rank {state.rank} {what}" + (f"  ({state.line})" if state.line else ""))
    return "\n".join(lines)
