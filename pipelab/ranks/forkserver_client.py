"""The kernel's side of the forkserver: start it, have it fork ranks, ask how they ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

from .errors import RankError


@dataclass
class ForkedRank:
    """A rank's process, the connection to it, and the pipe with what it prints."""

    pid: int
    control: Connection
    output: int
    parent: subprocess.Popen  # the forkserver
    reaped: list[int | None] = field(default_factory=list)


class ForkServer:
    """The process that forks ranks, as the kernel sees it: started when first needed, and again should it have died."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.process: subprocess.Popen | None = None
        self.channel: socket.socket | None = None
        self.announced = False
        self.preloaded: set[str] = set()  # modules
        self.missed: set[str] = set()  # modules that ranks had to import themselves, and later ones should not
        self.asked = 0  # requests so far
        self.heard = b""  # of answers, and not yet read

    def ready(self, preload: Sequence[str] = ()) -> bool:
        """Start the process if there is none, and have it import these modules. False if there was nothing to do."""
        with self.lock:
            started = self._ready()
            if missing := [module for module in (*preload, *self.missed) if module not in self.preloaded]:
                _refuse(self._request({"do": "preload", "modules": missing}))
                self.preloaded.update(missing)
            return started or bool(missing)

    def _ready(self) -> bool:
        if self.process is not None and self.process.poll() is None and self.announced:
            return False
        if self.process is None or self.process.poll() is not None:
            self._launch()
        _refuse(self._hear(0))
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
        environment["PIPELAB_ON_RANK"] = "1"  # no rank draws: see pipelab/__init__.py
        environment.setdefault("OMP_NUM_THREADS", "1")
        environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # what matters is raised
        # Ranks need the same memory step after step. By default glibc gives it back to the system in between, and the
        # faults that bring it back take a quarter of a split backward's time.
        environment.setdefault("MALLOC_MMAP_THRESHOLD_", str(32 << 20))
        environment.setdefault("MALLOC_TRIM_THRESHOLD_", str(1 << 30))
        with theirs:
            self.announced, self.heard, self.preloaded = False, b"", set()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pipelab.ranks.forkserver", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
                env=environment,
            )

    def fork(self) -> ForkedRank:
        """A new rank's process. RankError if the system refuses."""
        ours, theirs = socket.socketpair()
        read, write = os.pipe()
        try:
            answer = self._ask({"do": "fork"}, [theirs.fileno(), write])
            if "error" in answer:
                raise RankError(answer["error"])
        except BaseException:
            ours.close()
            os.close(read)
            raise
        finally:
            theirs.close()
            os.close(write)
        assert self.process is not None
        return ForkedRank(answer["pid"], Connection(ours.detach()), read, self.process)

    def reap(self, rank: ForkedRank) -> int | None:
        """How a rank ended: exit status, or minus the signal; None if that is not known."""
        if rank.parent is not self.process or rank.parent.poll() is not None:
            return None  # only the parent can tell; its death was theirs, too
        if not rank.reaped:
            rank.reaped.append(self._ask({"do": "reap", "pid": rank.pid}).get("status"))
        return rank.reaped[0]

    def close(self) -> None:
        """End the process; the next run starts another."""
        with self.lock:
            process, channel = self.process, self.channel
            self.process = self.channel = None
        if process is not None and channel is not None:
            channel.close()
            process.wait()

    def _ask(self, request: dict, descriptors: Sequence[int] = ()) -> dict:
        with self.lock:
            self._ready()
            return self._request(request, descriptors)

    def _request(self, request: dict, descriptors: Sequence[int] = ()) -> dict:
        assert self.channel is not None
        self.asked += 1
        line = json.dumps({"number": self.asked, **request}).encode() + b"\n"
        try:
            socket.send_fds(self.channel, [line], descriptors)
            return self._hear(self.asked)
        except OSError as error:
            raise RankError(f"the forkserver, which starts ranks, is gone ({error}); run again") from None

    def _hear(self, number: int) -> dict:
        """The answer to this request. One that an interrupt kept from being heard may come first, and is dropped."""
        assert self.channel is not None
        while True:
            while b"\n" not in self.heard:
                part = self.channel.recv(1 << 16)
                if not part:
                    status = self.process.wait() if self.process else None
                    raise RankError(f"the forkserver, which starts ranks, ended (status {status}); run again")
                self.heard += part
            line, _, self.heard = self.heard.partition(b"\n")
            answer = json.loads(line)
            if answer["number"] == number:
                return answer


def _refuse(answer: dict) -> None:
    if "error" in answer:
        raise RankError(f"ranks can't be started: the forkserver failed\n{answer['error']}")


SERVER = ForkServer()  # this process's; the only global state
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=SERVER.__init__)  # type: ignore[misc]  # a forked copy starts one of its own
