"""Real processes for one experiment: started in a moment, watched from outside, gone afterwards."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from numbers import Real
from types import TracebackType
from typing import Any, cast

from ..amounts import at_least
from .errors import Cancelled, Deadlock, RankDied, RankError, RankState, RankTimeout, rebuilt, source_line, with_source
from .forkserver_client import SERVER, ForkedRank
from .progress import Progress
from .torchrun import run_here, under_torchrun

_GRACE = 0.3  # seconds in which ranks may still tell why, after the first has failed
_TICK = 0.05  # seconds between looks at cancel, timeout and progress
_OUTPUT_LIMIT = 1 << 20  # bytes that one rank may print in a run


class Ranks:
    """A pool of ranks: processes, each with a process group's rank, on its own GPU or on the CPU.

    What stays warm is the forkserver, a process that has imported torch, one per kernel; every run forks fresh ranks
    from it, so that nothing leaks from one run into the next. Under torchrun no process is started: `run` joins the
    given world.

    Parameters
    ----------
    ranks : int
        How many.
    device : {"cuda", "cpu"}, optional
        "cuda" for NCCL, "cpu" for gloo. Default: CUDA where there is a GPU for every rank, else the CPU.
    threads : int
        How many torch may use in each rank.
    preload : sequence of str
        Modules that the forkserver imports before it forks, once, so that the ranks need not.

    Raises
    ------
    ValueError
        For a number of ranks or threads below 1, and for an unknown device.

    Examples
    --------
    >>> with Ranks(2) as ranks:
    ...     ranks.run(lambda ctx: ctx.rank)
    [0, 1]
    """

    def __init__(self, ranks: int, *, device: str | None = None, threads: int = 1, preload: Sequence[str] = ()) -> None:
        self.size, self.threads = at_least(1, ranks, "ranks"), at_least(1, threads, "threads")
        self.preload = tuple(preload)
        if device not in (None, "cpu", "cuda"):
            raise ValueError(f"device must be 'cpu', 'cuda' or None; got {device!r}")
        self.device = device

    def __enter__(self) -> Ranks:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Nothing is left to close after a run; the forkserver stays for the next one, and ends with this process."""

    def warm(self) -> float:
        """Start the forkserver, so that the first run is quick. Returns the seconds this took; 0 if it was there."""
        began = time.monotonic()
        return time.monotonic() - began if under_torchrun() or SERVER.ready(self.preload) else 0.0

    def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        timeout: float = 600,
        stall: float = 5,
        progress: Callable[[Progress], None] | None = None,
        cancel: threading.Event | None = None,
    ) -> list[Any]:
        """Call ``function(ctx, *arguments)`` on every rank. Functions and classes defined in a notebook work.

        Parameters
        ----------
        function : function
            Is given a RankContext first: rank, size, device, backend; the default process group is initialised.
        *arguments : object
            What it is given then.
        timeout : float
            Seconds after which the run is given up.
        stall : float
            Seconds after which ranks that all wait for messages are given up.
        progress : function, optional
            Called in this thread with a Progress, at most ten times a second: how far ranks are is what they say to
            their RankContext, in ``ctx.at("step 1", done=1, total=4)``.
        cancel : threading.Event, optional
            Ends the run when it is set.

        Returns
        -------
        list
            What the function returns, by rank.

        Raises
        ------
        RankError
            RankDied if a rank's process ends, Deadlock, RankTimeout or Cancelled. No process is left behind.
        Exception
            A rank's own exception, as itself, with the rank's traceback in its notes.
        """
        for name, seconds in (("timeout", timeout), ("stall", stall)):
            if not isinstance(seconds, Real) or not seconds > 0:  # NaN is not above 0, either
                raise ValueError(f"{name} must be a number of seconds above 0 (inf: no limit); got {seconds!r}")
        if under_torchrun():
            return run_here(self.size, self.device, self.threads, function, arguments)
        payload = _payload(function, arguments)
        members = _Members(self)
        try:
            members.start(payload)
            return members.follow(timeout, stall, progress, cancel)
        finally:
            members.stop()


def _payload(function: Callable[..., Any], arguments: tuple) -> bytes:
    import cloudpickle

    try:
        return cloudpickle.dumps((function, arguments))
    except Exception as error:
        raise TypeError(f"{function!r} and its arguments can't be sent to other processes: {error}") from error


class _Members:
    """The processes of one run, as their parent sees them."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.members: list[ForkedRank] = []
        self.states = [RankState(rank) for rank in range(ranks.size)]
        self.changed = [time.monotonic()] * ranks.size
        self.results: dict[int, Any] = {}
        self.raised: dict[int, BaseException] = {}
        self.closed: list[int] = []  # ranks whose connection ended before their work did
        self.printers: list[threading.Thread] = []

    def start(self, payload: bytes) -> None:
        SERVER.ready(self.ranks.preload)
        setup = {
            "size": self.ranks.size,
            "device": self.ranks.device,
            "threads": self.ranks.threads,
            "directory": _directory(),
            "path": [os.path.abspath(entry or ".") for entry in sys.path],
        }
        for rank in range(self.ranks.size):
            member = SERVER.fork()
            self.members.append(member)
            self.states[rank].pid = member.pid
            self.printers.append(threading.Thread(target=_relay, args=(rank, member.output), daemon=True))
            self.printers[-1].start()
        for rank, member in enumerate(self.members):
            with contextlib.suppress(OSError):  # it has died already: following it will tell
                _send(member.control, {"rank": rank, **setup}, payload)

    def follow(
        self,
        timeout: float,
        stall: float,
        progress: Callable[[Progress], None] | None,
        cancel: threading.Event | None,
    ) -> list[Any]:
        began = shown = time.monotonic()
        open_ranks = {member.control: rank for rank, member in enumerate(self.members)}
        failed_at: float | None = None
        while len(self.results) < self.ranks.size:
            for connection in wait(list(open_ranks), _TICK):
                control = cast(Connection, connection)
                rank = open_ranks[control]
                try:
                    self._heard(rank, pickle.loads(control.recv_bytes()))
                except (EOFError, OSError):
                    del open_ranks[control]
                    if rank not in self.results and rank not in self.raised:
                        self.closed.append(rank)
            now = time.monotonic()
            if cancel is not None and cancel.is_set():
                raise Cancelled
            if self.raised or self.closed:
                failed_at = failed_at or now
                told = len(self.results) + len(self.raised) + len(self.closed) == self.ranks.size
                if told or now - failed_at > _GRACE:
                    raise self._cause()
                continue
            for state, changed in zip(self.states, self.changed, strict=True):
                state.seconds_unchanged = now - changed
            if progress and now - shown >= 0.1:
                shown = now
                progress(Progress.of(self.states))
            # A rank that has just finished may be what the others waited for: it counts, too.
            quiet = all(state.seconds_unchanged > stall for state in self.states)
            if quiet and all(state.waiting for state in self.states if state.alive):
                raise Deadlock(stall, self._asked())
            if now - began > timeout:
                raise RankTimeout(timeout, self._asked())
        if progress:
            progress(Progress.of(self.states))
        return [self.results[rank] for rank in range(self.ranks.size)]

    def _heard(self, rank: int, message: tuple) -> None:
        kind, *content = message
        state = self.states[rank]
        self.changed[rank] = time.monotonic()
        if kind == "port":
            for other in self.members[1:]:
                with contextlib.suppress(OSError):
                    _send(other.control, "port", content[0])
        elif kind == "state":
            state.at, waiting, state.waits_for, state.done, state.total, blocked = content
            state.waiting = waiting or blocked
        elif kind == "where":
            file, number = content
            state.line = f"{os.path.basename(file)}:{number} {source_line(file, number)}" if file else ""
        elif kind == "imported":
            SERVER.missed.add(content[0])
        elif kind == "result":
            self.results[rank] = pickle.loads(content[0])
            state.alive, state.waiting = False, False
        elif kind == "raised":
            parts, trace, where = content
            error: BaseException = RankError("".join(trace.strip().splitlines()[-1:]))
            with contextlib.suppress(Exception):  # of a class that only the rank could import, say
                error = rebuilt(parts) if parts else error
            if trace:
                error.add_note(f"rank {rank} raised this while at {where or 'its own code'}:\n{with_source(trace)}")
            self.raised[rank] = error
            state.alive = False

    def _cause(self) -> BaseException:
        """The root of a failure: a dead process, else an exception, else one that only says that a peer has gone."""
        if self.closed:
            rank = self.closed[0]
            return RankDied(rank, SERVER.reap(self.members[rank]), self.states[rank].at)
        peers = ("connection closed", "connection reset", "broken pipe", "socket closed")
        own = [e for e in self.raised.values() if not any(text in str(e).lower() for text in peers)]
        return next(iter(own), None) or next(iter(self.raised.values()))

    def _asked(self) -> list[RankState]:
        """All states, with the line of code that each rank is in."""
        asked = {m.control: rank for rank, m in enumerate(self.members) if self.states[rank].alive}
        for control in asked:
            with contextlib.suppress(OSError):
                _send(control, "where")
        until = time.monotonic() + 0.5
        while asked and (left := until - time.monotonic()) > 0:
            for connection in wait(list(asked), left):
                control = cast(Connection, connection)
                try:
                    message = pickle.loads(control.recv_bytes())
                except (EOFError, OSError):
                    del asked[control]
                    continue
                self._heard(asked[control], message)
                if message[0] == "where":
                    del asked[control]
        return list(self.states)

    def stop(self) -> None:
        """Kill what is left. The forkserver has not reaped the ranks yet, so that their numbers still mean them."""
        for member in self.members:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(member.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(member.pid, signal.SIGKILL)
        for member in self.members:
            with contextlib.suppress(RankError):
                SERVER.reap(member)
            member.control.close()
        for printer in self.printers:
            printer.join(timeout=1)


def _send(connection: Connection, *message: Any) -> None:
    connection.send_bytes(pickle.dumps(message))


def _directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return os.sep


def _relay(rank: int, descriptor: int) -> None:
    """Show what a rank prints, line by line. What is beyond the limit is read and dropped, so that it blocks nobody."""
    shown = 0
    with os.fdopen(descriptor, "r", errors="replace") as output, contextlib.suppress(OSError, ValueError):
        for line in output:
            if shown <= _OUTPUT_LIMIT:
                shown += len(line)
                text = line if shown <= _OUTPUT_LIMIT else "… (more was printed; it is not shown)\n"
                sys.stdout.write(f"[rank {rank}] {text}")
                sys.stdout.flush()
