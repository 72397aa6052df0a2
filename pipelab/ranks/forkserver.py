"""The forkserver: a process with a single thread that has imported torch, and forks ranks from itself on request.

Importing torch is what makes ranks slow to start, and forking a notebook kernel is unsafe: its threads' locks would
stay locked in the child. So this process imports once, never computes, never touches CUDA, and only forks. The caller
names further modules to import.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any


def serve(descriptor: int) -> None:
    """Answer requests on this socket until the other side is gone.

    Requests and answers are lines of JSON; an answer has its request's number, and number 0 says that all is loaded.
    """
    channel = socket.socket(fileno=descriptor)
    parent = os.getppid()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answer = _attempt(_import_torch)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the kernel has gone: nobody waits for an answer
        _answer(channel, 0, answer)
        for request in () if "error" in answer else _requests(channel, parent):
            _answer(channel, request["number"], _do(channel, request))


def _requests(channel: socket.socket, parent: int) -> Iterator[dict]:
    """Requests, with their file descriptors, until the kernel is gone."""
    while True:
        # The kernel's death closes the socket; should another process hold a copy of it, the parent's number tells.
        while not select.select([channel], [], [], 1.0)[0]:
            if os.getppid() != parent:
                return
        data, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 8)
        while data and not data.endswith(b"\n"):
            data += channel.recv(1 << 20)
        if not data:
            return
        for line in data.splitlines():  # two, where an interrupt kept the kernel from waiting for the first's answer
            request = json.loads(line)
            yield {**request, "descriptors": descriptors if request["do"] == "fork" else []}


def _do(channel: socket.socket, request: dict) -> dict:
    if request["do"] == "reap":
        return {"status": _reap(request["pid"])}
    if request["do"] == "preload":
        return _attempt(_preload, request["modules"])
    try:
        return {"pid": _fork(channel, request["descriptors"])}
    except OSError as error:
        return {"error": f"no process can be started: {error}"}


def _attempt(function: Callable[..., None], *arguments: Any) -> dict:
    """Do what imports. What it makes stays: no rank looks through it for garbage."""
    gc.disable()
    try:
        function(*arguments)
    except BaseException:
        return {"error": traceback.format_exc()}
    finally:
        gc.freeze()
        gc.enable()
    return {}


def _import_torch() -> None:
    try:
        tempfile.gettempdir()
    except OSError:  # full, or read-only: torch only wants to know a folder that exists
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.sep)
    import cloudpickle  # noqa: F401
    import torch
    import torch.distributed
    import torch.fx.experimental.symbolic_shapes  # and sympy: the first backward from a given gradient imports them

    from . import dynamo, worker  # noqa: F401

    dynamo.leave_out()
    torch.set_num_threads(1)  # an operation on several threads would leave a forked child hanging


def _preload(modules: list[str]) -> None:
    """Import what every rank would otherwise import again."""
    for module in modules:
        import_module(module)


def _fork(channel: socket.socket, descriptors: list[int]) -> int:
    """A new rank; its control socket and the pipe for what it prints are the two descriptors."""
    pid = os.fork()
    if pid:
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    try:
        channel.close()
        from .worker import work

        work(*descriptors)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _reap(pid: int) -> int | None:
    """How a rank ended: its exit status, or minus the signal; None if it has not after a second."""
    for _ in range(200):
        try:
            found, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            return None
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


def _answer(channel: socket.socket, number: int, answer: dict) -> None:
    channel.sendall(json.dumps({"number": number, **answer}).encode() + b"\n")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
    os._exit(0)  # torch takes seconds to leave, and whoever reads the kernel's output to its end would wait for it
