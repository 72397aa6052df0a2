"""Run a script that uses ranks, as a process of its own, and look at what it leaves behind."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def driver(code: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A running script; killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def descendants(pid: int, least: int, within: float = 60) -> list[psutil.Process]:
    """All processes below one, once there are at least so many."""
    until = time.monotonic() + within
    while time.monotonic() < until:
        found = psutil.Process(pid).children(recursive=True)
        if len(found) >= least:
            return found
        time.sleep(0.05)
    raise AssertionError(f"only {len(found)} processes, not {least}")


def gone(processes: list[psutil.Process], within: float = 20) -> bool:
    """Are they all over within so many seconds? It takes a fraction of one, but the machine may be busy."""
    _, alive = psutil.wait_procs(processes, timeout=within)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
