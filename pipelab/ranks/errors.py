"""What can go wrong with ranks, in plain words."""

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
    """Where a rank is, and what it waits for.

    Parameters
    ----------
    rank : int
        Its number; `pid` is its process's.
    at : str
        The action that it is in, or what else it does.
    waiting : bool
        Does it wait for a message? `waits_for` is the rank that it comes from, where that is known.
    done, total : int, optional
        How many actions it has done, of how many.
    seconds_unchanged : float
        How long it has told nothing new.
    line : str
        The line of Python code that it is in, where it was asked for.

    Examples
    --------
    >>> RankState(0, at="0RECV_B2", waiting=True, waits_for=1).sentence()
    'rank 0 waits at 0RECV_B2 for rank 1'
    """

    rank: int
    pid: int = 0
    alive: bool = True
    at: str = ""
    waiting: bool = False
    waits_for: int | None = None
    done: int | None = None
    total: int | None = None
    seconds_unchanged: float = 0.0
    line: str = ""

    def sentence(self) -> str:
        """What it does, in words."""
        place = self.at or "its own code"
        what = "has finished" if not self.alive else f"waits at {place}" if self.waiting else f"is at {place}"
        if self.alive and self.waiting and self.waits_for is not None:
            what += f" for rank {self.waits_for}"
        return f"rank {self.rank} {what}" + (f"  ({self.line})" if self.line else "")


class RankError(RuntimeError):
    """Ranks failed; the subclass says how. The next run starts afresh.

    Examples
    --------
    >>> issubclass(Deadlock, RankError)
    True
    """


class RankDied(RankError):
    """A rank's process ended before its work was done.

    Parameters
    ----------
    rank : int
    status : int or None
        Its exit status, or minus the signal that killed it; None if that is not known.
    at : str
        Where it was.

    Examples
    --------
    >>> print(RankDied(1, -9, at="0F3"))
    rank 1 was killed by SIGKILL while at 0F3; the system does this when memory runs out
    """

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
    _what = ""

    def __init__(self, seconds: float, states: Sequence[RankState]) -> None:
        super().__init__(seconds, tuple(states))
        self.seconds, self.states = seconds, tuple(states)

    def __str__(self) -> str:
        return "\n  ".join([self._what.format(self.seconds), *(state.sentence() for state in self.states)])


class Deadlock(_Stuck):
    """All ranks wait for each other; `states` says who waits for whom, one RankState per rank.

    Examples
    --------
    >>> print(Deadlock(5, [RankState(0, at="0RECV_B0", waiting=True, waits_for=1),
    ...                    RankState(1, at="1RECV_F0", waiting=True, waits_for=0)]))
    deadlock: all ranks have been waiting for 5 s
      rank 0 waits at 0RECV_B0 for rank 1
      rank 1 waits at 1RECV_F0 for rank 0
    """

    _what = "deadlock: all ranks have been waiting for {:.0f} s"


class RankTimeout(_Stuck):
    """A run took longer than its timeout. Where each rank was is in `states`.

    Examples
    --------
    >>> print(RankTimeout(60, [RankState(0, at="0F1"), RankState(1, alive=False)]))
    not done after 60 s (see timeout=)
      rank 0 is at 0F1
      rank 1 has finished
    """

    _what = "not done after {:g} s (see timeout=)"


class Cancelled(RankError):
    """A run was cancelled.

    Examples
    --------
    >>> print(Cancelled())
    cancelled; all ranks are stopped
    """

    def __str__(self) -> str:
        return "cancelled; all ranks are stopped"


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
    """The exception, as an instance of the class that this process knows.

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
