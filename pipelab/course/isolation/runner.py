"""Runner: loads a submission's file, calls its functions, and writes what they return as plain data.

The supervisor runs it. It is sent names and numbers and answers with text, which the grader, another process, judges.
So whatever a submission does to this process, it can change nothing but its own answers.
A notebook makes its own functions' answers plain with the same functions, so that both are judged alike.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import traceback
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NoReturn

DEEPEST = 20  # lists in lists


def answer(request: dict, descriptor: int) -> NoReturn:
    """Answer every question of the request, one line of JSON each, as soon as it is known."""
    folder = request["folder"]
    os.chdir(folder)
    set_limits(request["limits"])
    sys.path.append(folder)  # last: a json.py beside the submission stands for nothing but itself
    sys.path += request["path"]
    if not request["path"]:
        sys.meta_path.insert(0, _NoPipelab())
    modules: dict[str, ModuleType | str] = {}
    for question in request["questions"]:
        file, name, arguments = question["file"], question["function"], question["arguments"]
        if file not in modules:
            modules[file] = load(os.path.join(folder, file))
        said = call(modules[file], file, name, arguments, folder)
        text = json.dumps(said).encode() + b"\n"
        while text:
            text = text[os.write(descriptor, text) :]
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(0)  # what it has started or registered has no say any more


def set_limits(limits: dict) -> None:
    """Limits that the system itself enforces, also on processes that are started from here."""
    seconds = int(limits["seconds"]) + 2
    for kind, most in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        _, allowed = resource.getrlimit(kind)
        if allowed != resource.RLIM_INFINITY:
            most = min(most, allowed)
        with contextlib.suppress(OSError, ValueError):  # macOS has no limit of addresses
            resource.setrlimit(kind, (most, most))


class _NoPipelab:
    """A submission should write the schedule, not import it. (This is no lock: a determined student gets round it.)"""

    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == "pipelab":
            raise ImportError("pipelab can't be imported in a submission: write the answer yourself, as plain Python")


def load(path: str) -> ModuleType | str:
    """The module in this file, or why there is none."""
    name = os.path.splitext(os.path.basename(path))[0]
    module = ModuleType(name)
    module.__file__ = path
    if not os.path.isfile(path):
        return f"{os.path.basename(path)} was not submitted"
    try:
        with open(path, "rb") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        sys.modules[name] = module  # dataclasses look themselves up
        exec(code, module.__dict__)
    except BaseException as error:
        return f"{os.path.basename(path)} can't be loaded: {told(error, os.path.dirname(path))}"
    return module


def call(module: ModuleType | str, file: str, name: str, arguments: list, folder: str) -> dict[str, Any]:
    if isinstance(module, str):
        return {"error": module}
    function = getattr(module, name, None)
    if not callable(function):
        return {"error": f"{file} has no function {name}"}
    try:
        return {"value": plain(function(*map(argument, arguments)))}
    except BaseException as error:  # also of sys.exit()
        return {"error": told(error, folder)}


def argument(value: Any) -> Any:
    if isinstance(value, dict):
        import numpy

        return numpy.array(value["array"], dtype=float)
    return value


def plain(value: Any, depth: int = 0) -> Any:
    """Lists, texts and numbers instead of arrays, actions, tuples and generators.

    A Schedule becomes its programs and what it says of its pipeline, to be compared with what was asked for.
    """
    if depth > DEEPEST:
        raise ValueError(f"it returns lists in lists, more than {DEEPEST} deep")
    if value is None or value is True or value is False:
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return getattr(kind, f"__{kind.__name__}__")(value)  # of a subclass, the value alone
    if hasattr(value, "tolist"):  # an array
        return plain(value.tolist(), depth + 1)
    if hasattr(value, "programs"):
        counts = {"ranks": value.num_ranks, "stages": value.num_stages, "micro-batches": value.num_microbatches}
        routes = " and ".join(map(str, value.placement.routes))
        return plain({"programs": value.programs, **counts, "routes": routes, "training": value.training}, depth + 1)
    if type(value).__name__ == "Action":
        return str(value)
    if isinstance(value, dict):
        return {str(key): plain(each, depth + 1) for key, each in value.items()}
    if isinstance(value, Iterable):
        return [plain(each, depth + 1) for each in value]
    raise ValueError(f"it returns {type(value).__name__}; lists, texts and numbers are wanted")


def in_a_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def told(error: BaseException, folder: str) -> str:
    """The error in one line, with the place in the submission's own file."""
    try:
        text = in_a_line(error)
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(folder)]
    except BaseException:
        return "an error that can't even be printed"
    if isinstance(error, MemoryError):
        text = f"{text}: it needs more memory than there is"
    text = text.replace(folder + os.sep, "")[:500]
    return f"{text} (line {own[-1].lineno} of {os.path.basename(own[-1].filename)})" if own else text
