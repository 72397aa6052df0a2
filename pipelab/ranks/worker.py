"""One rank's process: it joins the group, runs the function, and answers the parent while it does."""

from __future__ import annotations

import contextlib
import ctypes
import dis
import errno
import os
import pickle
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from datetime import timedelta
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import cloudpickle
import torch
import torch.distributed as dist

from . import dynamo
from .errors import portable

_PR_SET_PDEATHSIG = 1
_LOOK = 0.1  # seconds between the control thread's looks at the parent and at the main thread
_IDLE = 0.02  # of a core: a process that uses no more, with its main thread in a wait, computes and transfers nothing


@dataclass
class RankContext:
    """What a function that runs on a rank is given. The default process group is initialised."""

    rank: int
    size: int
    device: torch.device
    backend: str
    local_rank: int
    state: tuple = field(default=("", False, None, None, None), repr=False)

    @classmethod
    def joined(cls, local_rank: int) -> RankContext:
        """The context of a process that is in the default process group already."""
        backend = dist.get_backend()
        device = torch.device("cuda", local_rank) if backend == "nccl" else torch.device("cpu")
        return cls(dist.get_rank(), dist.get_world_size(), device, backend, local_rank)

    def at(
        self,
        text: str,
        waiting: bool = False,
        waits_for: int | None = None,
        done: int | None = None,
        total: int | None = None,
    ) -> None:
        """Note where this rank is; costs next to nothing. done and total keep their last value if not given."""
        *_, before, of = self.state
        self.state = (text, waiting, waits_for, before if done is None else done, of if total is None else total)


class _Control:
    """The socket to the parent, and the thread that watches it while the rank works."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.lock = connection, threading.Lock()
        self.inbox: list[tuple] = []
        self.arrived = threading.Condition()
        self.ctx: RankContext | None = None
        self.told: tuple = ()
        self.main = threading.main_thread().ident
        self.looks = deque([(time.monotonic(), time.process_time())], maxlen=round(1 / _LOOK))
        threading.Thread(target=self._watch, daemon=True).start()

    def send(self, *message: Any) -> None:
        with self.lock:
            self.connection.send_bytes(pickle.dumps(message))

    def receive(self) -> tuple:
        with self.arrived:
            while not self.inbox:
                self.arrived.wait()
            return self.inbox.pop(0)

    def _watch(self) -> None:
        parent = os.getppid()
        try:
            while True:
                if self.connection.poll(_LOOK):
                    message = pickle.loads(self.connection.recv_bytes())
                    if message[0] == "where":
                        self.send("where", *self._line())
                        continue
                    with self.arrived:
                        self.inbox.append(message)
                        self.arrived.notify()
                if os.getppid() != parent:
                    os._exit(1)
                if self.ctx and (state := (*self.ctx.state, self._blocked())) != self.told:
                    self.told = state
                    self.send("state", *state)
        except (EOFError, OSError):
            os._exit(1)  # the parent is gone, and nobody waits for this rank

    def _blocked(self) -> bool:
        """Has the main thread been waiting for a message for a second, though nobody has noted so with `at`?"""
        self.looks.append((time.monotonic(), time.process_time()))
        (then, used_then), (now, used) = self.looks[0], self.looks[-1]
        idle = len(self.looks) == self.looks.maxlen and used - used_then < _IDLE * (now - then)
        return idle and _waits_for_message(sys._current_frames().get(self.main or 0))

    def _line(self) -> tuple[str, int]:
        """(file, number) of the innermost line that the main thread is in, outside torch where there is one."""
        frame = sys._current_frames().get(self.main or 0)
        stack = traceback.extract_stack(frame) if frame else []
        own = [entry for entry in stack if f"{os.sep}torch{os.sep}" not in entry.filename] or stack
        return (own[-1].filename, own[-1].lineno or 0) if own else ("", 0)


def _waits_for_message(frame: FrameType | None) -> bool:
    """Is this innermost frame in one of torch.distributed's functions, or in a call of some work's `wait`?"""
    if frame is None:
        return False
    if f"{os.sep}torch{os.sep}distributed{os.sep}" in frame.f_code.co_filename:
        return True
    past = (i for i in dis.get_instructions(frame.f_code) if i.offset <= frame.f_lasti)
    names = [i.argval for i in past if i.opname in ("LOAD_METHOD", "LOAD_ATTR")]
    return names[-1:] == ["wait"]


def work(control_descriptor: int, output_descriptor: int) -> None:
    """A forked rank's whole life."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.dup2(output_descriptor, 1)
    os.dup2(output_descriptor, 2)
    os.close(output_descriptor)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    control = _Control(Connection(control_descriptor))
    ctx, compiles = None, dynamo.NAME in sys.modules
    try:
        setup, payload = control.receive()
        ctx = _join(control, **setup)
        control.ctx = ctx
        function, arguments = pickle.loads(payload)
        result = function(ctx, *arguments)
        try:
            answer = cloudpickle.dumps(result)
        except Exception as error:
            text = f"rank {ctx.rank}'s result, a {type(result).__name__}, can't be sent back: {error}"
            raise TypeError(text) from None
        message: tuple = ("result", answer)
    except BaseException as error:
        where = ctx.state[0] if ctx else "start"
        refused = ctx is None and isinstance(error, (ValueError, OSError))  # in plain words, by what is below
        trace = "" if refused else traceback.format_exc()
        message = ("raised", portable(error), trace, where)
    sys.stdout.flush()
    sys.stderr.flush()
    if ctx:
        control.send("state", *ctx.state, False)
    if dynamo.NAME in sys.modules and not compiles:
        control.send("imported", dynamo.NAME)
    control.send(*message)
    while True:  # the parent ends this process when all ranks are done
        time.sleep(3600)


def _join(
    control: _Control, rank: int, size: int, device: str | None, threads: int, directory: str, path: list[str]
) -> RankContext:
    """Become a rank of a new process group. Rank 0 opens a port, whichever is free, and the parent passes it on."""
    with contextlib.suppress(OSError):  # deleted meanwhile; only relative paths would miss it
        os.chdir(directory)
    sys.path[:] = path
    torch.set_num_threads(threads)
    if device is None:
        device = "cuda" if torch.cuda.device_count() >= size else "cpu"
    if device == "cuda" and torch.cuda.device_count() < size:
        raise ValueError(f"{size} ranks need {size} GPUs; this machine shows {torch.cuda.device_count()}")
    if sys.platform in ("linux", "darwin"):
        os.environ["GLOO_SOCKET_IFNAME"] = "lo" if sys.platform == "linux" else "lo0"
    soon, timeout = timedelta(seconds=15), timedelta(hours=10)  # once ranks have met, the parent watches the time
    if rank == 0:
        _require_loopback()
        store = dist.TCPStore("127.0.0.1", 0, size, True, soon, wait_for_workers=False)
        control.send("port", store.port)
    else:
        store = dist.TCPStore("127.0.0.1", control.receive()[1], size, False, soon)
    try:
        return join(device, rank, size, rank, store=store, timeout=timeout)
    except RuntimeError as error:
        if "address already in use" in str(error).lower():
            raise _unreachable("no port is free") from None
        raise


def _require_loopback() -> None:
    """Say at once what torch would say after a long wait, and at length."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        in_use = error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL)
        raise _unreachable("no port is free" if in_use else f"it is shut: {error}") from None


def _unreachable(reason: str) -> OSError:
    return OSError(f"the ranks of one machine meet over loopback (127.0.0.1), but {reason}")


def join(device: str, rank: int, size: int, local_rank: int, **group: Any) -> RankContext:
    """Initialise the default process group for this device, and describe it."""
    backend = "nccl" if device == "cuda" else "gloo"
    if device == "cuda":
        group["device_id"] = place = torch.device(device, local_rank)
        torch.cuda.set_device(place)
    dist.init_process_group(backend, rank=rank, world_size=size, **group)
    return RankContext.joined(local_rank)
