"""Asking: put questions to a submission's code, in a process of its own, with limits, on a copy of its folder.

This keeps mistakes, and most pranks, away from the grader. It is no security sandbox: the code runs as the user who
grades and can read and write what that user can. Grade what you don't trust in a container; docs/instructors.md has the
line.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from .limits import Limits, foul_of, why_unanswered

_MARK = "PIPELAB_SUBMISSION"  # in the environment of everything that a submission starts
_GRACE = 1.5  # seconds that the supervisor may take beyond the limit


class Question(NamedTuple):
    """Call a function of a file. An argument that is an array is {"array": nested lists}."""

    file: str
    function: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Answer:
    """What a function returned, as plain data; or why there is nothing."""

    value: Any = None
    error: str = ""


@dataclass(frozen=True)
class Answers:
    """One answer per question; `foul` says what the code did so that none of them counts."""

    answers: tuple[Answer, ...]
    foul: str = ""
    printed: str = ""


def ask(
    files: Mapping[str, Path], questions: Sequence[Question], limits: Limits | None = None, pipelab: bool = False
) -> Answers:
    """Ask all questions of one submission, in one process.

    files: by name; all of them are copied to one folder, in which the code runs.
    pipelab: whether the code may import pipelab.
    """
    limits = limits or Limits()
    folder = Path(tempfile.mkdtemp(prefix="pipelab-")).resolve()
    try:
        for name, file in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / name)
        request = {
            "folder": str(folder),
            "questions": [question._asdict() for question in questions],
            "limits": asdict(limits),
            "path": [str(Path(__file__).parents[3])] if pipelab else [],
        }
        verdict = _watched(request, limits.seconds + _GRACE)
        foul = foul_of(verdict, limits) or _touched(folder, files)
        said = _parsed(verdict.get("answers", ""))[: len(questions)]
        missing = Answer(error=why_unanswered(verdict, limits))
        answers = (*said, *[missing] * (len(questions) - len(said)))
        return Answers(answers, foul, verdict.get("printed", ""))
    finally:
        _remove(folder)


def _watched(request: dict[str, Any], seconds: float) -> dict[str, Any]:
    """What the supervisor reports; {} if it reports nothing."""
    mark = f"{os.getpid()}-{secrets.token_hex(8)}"
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "LC_ALL", "SYSTEMROOT")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    folder = request["folder"]
    with subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", str(Path(__file__).with_name("supervisor.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env={**kept, **threads, "HOME": folder, "TMPDIR": folder, _MARK: mark},
        start_new_session=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        said = b""
        try:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps(request).encode() + b"\n")
                process.stdin.flush()
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0 and select.select([process.stdout], [], [], left)[0]:
                if not (part := os.read(process.stdout.fileno(), 1 << 20)):
                    break
                said += part
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()  # it ends everything if it has not yet
            if not said.endswith(b"\n"):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.5)
                process.kill()
                _sweep(mark)
    with contextlib.suppress(ValueError):
        if isinstance(verdict := json.loads(said), dict):
            return verdict
    return {}


def _sweep(mark: str) -> None:
    """Kill what a submission started, where its supervisor, ended or stopped itself, could not."""
    wanted = f"{_MARK}={mark}".encode()
    for _ in range(3):
        for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
            with contextlib.suppress(OSError):
                if entry.isdigit() and wanted in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry), signal.SIGKILL)


def _touched(folder: Path, files: Mapping[str, Path]) -> str:
    """Did it delete or change files of its own submission?"""
    for name, file in files.items():
        try:
            same = (folder / name).read_bytes() == file.read_bytes()
        except OSError:
            return f"your code deleted {name} from its own folder"
        if not same:
            return f"your code changed {name} in its own folder"
    return ""


def _parsed(text: str) -> list[Answer]:
    """Lines of JSON, each {"value": …} or {"error": …}; from the first line of another kind on, nothing counts."""
    answers = []
    for line in text.split("\n")[:-1]:
        try:
            said = json.loads(line, parse_constant=_finite, parse_float=_finite)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or {*said} not in ({"value"}, {"error"}):
            break
        answers.append(Answer(said["value"]) if "value" in said else Answer(error=str(said["error"])[:600] or "error"))
    return answers


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no number")
    return number


def _remove(folder: Path) -> None:
    """Remove the folder, also where the code made it unreadable. (tempfile's own cleanup trips over links.)"""
    shutil.rmtree(folder, ignore_errors=True)
    locked = [str(folder)] if folder.exists() else []
    while locked:
        place = locked.pop()
        with contextlib.suppress(OSError):
            os.chmod(place, 0o700)
            locked += [entry.path for entry in os.scandir(place) if entry.is_dir(follow_symlinks=False)]
    shutil.rmtree(folder, ignore_errors=True)
