"""Supervisor: runs a submission's code in a process of its own, watches it, and ends whatever it started.

A script for a bare interpreter (``python -I supervisor.py``): the standard library only, so that it starts in a moment
and nothing of the grader is in reach of the code. It reads one request, a line of JSON, from its input, and writes one
line of JSON at the end. When its input closes, the grader has gone, and everything is ended.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import runpy
import select
import signal
import sys
import time
from typing import Any

TICK, LOOK = 0.01, 0.1  # seconds between looks at the process, and at all that it has started
KEPT = 4000  # characters of what was printed
ANSWERS, PRINTED, INPUT = 3, 1, 0
_SUBREAPER, _DEATH_SIGNAL = 36, 1  # of prctl


def main() -> None:
    request = json.loads(sys.stdin.buffer.readline())
    for number in {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}:
        signal.signal(number, signal.SIG_IGN)  # the code that it watches may send them
    prctl(_SUBREAPER, 1)  # what loses its parent becomes a child of this process, also in a session of its own
    printed, write_printed = os.pipe()
    answers, write_answers = os.pipe()
    pid = os.fork()
    if not pid:
        prctl(_DEATH_SIGNAL, signal.SIGKILL)
        become_runner(request, write_printed, write_answers)
    os.close(write_printed)
    os.close(write_answers)
    verdict = watch(pid, request["limits"], printed, answers)
    sys.stdout.write(json.dumps(verdict) + "\n")
    sys.stdout.flush()
    os._exit(0)


def prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def become_runner(request: dict, printed: int, answers: int) -> None:
    """The forked process: runs the code; it never returns."""
    try:
        os.setsid()
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            with contextlib.suppress(OSError, ValueError):
                signal.signal(number, signal.SIG_DFL)
        answers, printed = (os.dup(descriptor) for descriptor in (answers, printed))
        os.dup2(os.open(os.devnull, os.O_RDONLY), INPUT)
        os.dup2(printed, 1)
        os.dup2(printed, 2)
        os.dup2(answers, ANSWERS)
        os.closerange(ANSWERS + 1, 64)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # what is printed is told, however it ends
        file = os.path.join(os.path.dirname(os.path.abspath(__file__)), "runner.py")
        runpy.run_path(file)["answer"](request, ANSWERS)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        os._exit(1)


def watch(pid: int, limits: dict, printed: int, answers: int) -> dict[str, Any]:
    """Wait until the process ends or exceeds a limit; return what it said, and how it ended."""
    read: dict[int, bytearray] = {printed: bytearray(), answers: bytearray()}
    most = {printed: limits["printed_bytes"], answers: limits["answer_bytes"]}
    names = {printed: "printed", answers: "answered"}
    began = looked = time.monotonic()
    beyond: str | None = None
    sources = [INPUT, printed, answers]

    def take(descriptor: int) -> bool:
        """Read some of what it wrote; False at the end, or where it wrote too much."""
        nonlocal beyond
        data = os.read(descriptor, 1 << 16)
        read[descriptor] += data
        if too_much := len(read[descriptor]) > most[descriptor]:
            beyond = beyond or names[descriptor]
        return bool(data) and not too_much

    while beyond is None and (status := reap(pid)) is None:
        for descriptor in select.select(sources, [], [], TICK)[0]:
            if descriptor == INPUT:
                beyond = "alone"  # nobody waits for the verdict any more
            elif not take(descriptor):
                sources.remove(descriptor)
        now = time.monotonic()
        if now - began > limits["seconds"]:
            beyond = beyond or "time"
        elif now - looked > LOOK:
            looked = now
            found = descendants()
            if len(found) > limits["processes"]:
                beyond = beyond or "processes"
            elif sum(map(memory, found)) > limits["memory_bytes"]:
                beyond = beyond or "memory"
    left = [each for each in descendants() if each != pid]
    end_all(pid)
    for descriptor in read:  # what it wrote just before its end
        os.set_blocking(descriptor, False)
        with contextlib.suppress(BlockingIOError):
            while take(descriptor):
                pass
    return {
        "status": status,
        "beyond": beyond,
        "left": len(left),
        "answers": "" if beyond == "answered" else read[answers].decode(errors="replace"),
        "printed": read[printed].decode(errors="replace")[-KEPT:],
    }


def reap(pid: int) -> int | None:
    """Bury all children that have ended. Return how this one ended: its exit status, or minus the signal."""
    ended = None
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            if found[0] == pid:
                ended = os.waitstatus_to_exitcode(found[1])
    return ended


def descendants() -> list[int]:
    """All living processes below this one; an empty list where the system has no /proc."""
    children: dict[int, list[int]] = {}
    alive = set()
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat", "rb") as file:
                state, parent = file.read().rpartition(b")")[2].split()[:2]
                children.setdefault(int(parent), []).append(int(entry))
                if state not in b"ZX":
                    alive.add(int(entry))
    found, below = [], [os.getpid()]
    while below:
        below = [child for parent in below for child in children.get(parent, ())]
        found += below
    return [each for each in found if each in alive]


def memory(pid: int) -> int:
    """Bytes that a process holds in memory and shares with no file."""
    with contextlib.suppress(OSError, IndexError), open(f"/proc/{pid}/statm") as file:
        _, resident, shared = file.read().split()[:3]
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return 0


def end_all(pid: int) -> None:
    """Stop every descendant first, so that none can start others meanwhile; then kill them all."""
    stopped: set[int] = set()
    until = time.monotonic() + 1
    while (new := {*descendants()} - stopped) and time.monotonic() < until:
        send(new, signal.SIGSTOP)
        stopped |= new
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    while time.monotonic() < until + 1:
        send(stopped | {*descendants()}, signal.SIGKILL)
        reap(pid)
        if not descendants():
            return
        time.sleep(0.005)


def send(pids: set[int], number: int) -> None:
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


if __name__ == "__main__":
    main()
