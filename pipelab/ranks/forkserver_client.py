"""Forks: the kernel's side of the helper process that forks ranks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from .errors import RankError


@dataclass
class Fork:
    """A forked rank: its process, the connection to it, and the pipe with what it prints."""

    pid: int
    control: Connection
    output: int
    parent: subprocess.Popen  # the helper that forked it
    reaped: list[int | None] = field(default_factory=list)


class ForkServer:
    """The helper process, started at the first need, and again should it have died."""

    def __init__(self) -> None:
        self.owner = os.getpid()
        self.lock = threading.Lock()
        self.process: subprocess.Popen | None = None
        self.channel: socket.socket | None = None
        self.announced = False
        self.asked = 0  # requests so far
        self.heard = b""  # of answers, and not yet read

    def ready(self) -> bool:
        """Start the helper if there is none, and wait until it can fork. Returns True if it had to be started."""
        with self.lock:
            return self._ready()

    def _ready(self) -> bool:
        if self.process is not None and self.process.poll() is None and self.announced:
            return False
        if self.process is None or self.process.poll() is not None:
            self._launch()
        answer = self._hear(0)
        if "error" in answer:
            raise RankError(f"ranks can't be started: the helper process failed\n{answer['error']}")
        self.announced = True
        return True

    def _launch(self) -> None:
        if not hasattr(os, "fork"):
            raise RankError("ranks need an operating system that can fork: Linux, macOS, or WSL2 on Windows")
        if self.channel:
            self.channel.close()
        self.channel, theirs = socket.socketpair()
        package = str(Path(__file__).parents[2])
        known = os.environ.get("PYTHONPATH")
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([package, known] if known else [package])}
        environment.setdefault("OMP_NUM_THREADS", "1")
        environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what matters is raised
        # Ranks need the same memory step after step. By default glibc gives it back to the system in between, and the
        # faults that bring it back take a quarter of a split backward's time.
        environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
        environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 30))
        with theirs:
            self.announced, self.heard = False, b""
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelab.ranks.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )

    def fork(self) -> Fork:
        """A new rank's process. RankError if the system refuses."""
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        try:
            answer = self._ask({"do": "fork"}, [theirs.fileno(), write])
        except BaseException:
            ours.close()
            os.close(read)
            raise
        finally:
            theirs.close()
            os.close(write)
        if "error" in answer:
            ours.close()
            os.close(read)
            raise RankError(answer["error"])
        assert self.process is not None
        return Fork(answer["pid"], Connection(ours.detach()), read, self.process)

    def reap(self, fork: Fork) -> int | None:
        """How a rank ended: exit status, or minus the signal; None if that is not known."""
        if fork.parent is not self.process or fork.parent.poll() is not None:
            return None  # only the parent can tell; its death was theirs, too
        if not fork.reaped:
            fork.reaped.append(self._ask({"do": "reap", "pid": fork.pid}).get("status"))
        return fork.reaped[0]

    def _ask(self, request: dict, descriptors: list[int] | None = None) -> dict:
        with self.lock:
            self._ready()
            assert self.channel is not None
            self.asked += 1
            line = json.dumps({"number": self.asked, **request}).encode() + b"\n"
            try:
                socket.send_fds(self.channel, [line], descriptors or [])
                return self._hear(self.asked)
            except OSError as error:
                raise RankError(f"the helper process that starts ranks is gone ({error}); run again") from None

    def _hear(self, number: int) -> dict:
        """The answer to this request. One that an interrupt kept from being heard may come first, and is dropped."""
        assert self.channel is not None
        while True:
            while b"\n" not in self.heard:
                part = self.channel.recv(1 << 16)
                if not part:
                    status = self.process.wait() if self.process else None
                    raise RankError(f"the helper process that starts ranks ended (status {status}); run again")
                self.heard += part
            line, _, self.heard = self.heard.partition(b"\n")
            answer = json.loads(line)
            if answer["number"] == number:
                return answer


_server: ForkServer | None = None
_making = threading.Lock()


def forks() -> ForkServer:
    """This process's helper. A forked copy of this process gets one of its own."""
    global _server  # the pool is the only global state
    with _making:
        if _server is None or _server.owner != os.getpid():
            _server = ForkServer()
        return _server


def close() -> None:
    """End the helper; the next run starts another."""
    global _server
    with _making:
        server, _server = _server, None
    if server is not None and server.channel is not None and server.process is not None:
        server.channel.close()
        server.process.wait()
