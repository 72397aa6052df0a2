"""The command line: table, simulate, run, profile, eplb, grade, doctor. `--help` lists what each takes."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from .commands import BAD_ARGUMENTS, FAILED, OK, do_doctor, do_eplb, do_profile, do_run, do_simulate, do_table
from .eplb import POLICIES
from .schedules import SCHEDULES

__all__ = ["BAD_ARGUMENTS", "FAILED", "OK", "main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those that the program was started with.

    Returns
    -------
    int
        The exit status: 0, 1 for a run that failed, 2 for bad arguments.

    Examples
    --------
    >>> main(["table", "--schedule", "gpipe", "--ranks", "2", "--microbatches", "1"])
    0F0,0B0
    1F0,1B0
    0
    """
    options = _parser().parse_args(arguments)
    try:
        status = options.command(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # piped into head, say
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (ValueError, OSError) as error:
        print(f"pipelab: {error}", file=sys.stderr)
        return BAD_ARGUMENTS


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(BAD_ARGUMENTS, f"pipelab: {message} (see {self.prog} --help)\n")


Add = Callable[..., argparse.Action]  # a command's add_argument


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pipelab", description="Pipeline schedules: as tables, simulated, and run on real ranks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(command=function)
        return sub

    add = command("table", do_table, "print a schedule, one CSV row per rank, in PyTorch's notation").add_argument
    _add_schedule(add)

    add = command("simulate", do_simulate, "simulate a schedule: timeline and figures").add_argument
    _add_schedule(add)
    for name, kind in (("forward", "F"), ("backward-input", "I"), ("backward-weight", "W")):
        what = f"cost of {kind}, or one per stage: 1,1,2 (default 1)"
        add(f"--{name}", type=_cost, default=1, metavar="TIME", help=what)
    add("--overlapped", type=_cost, metavar="TIME", help="cost of an overlapped forward and backward")
    add("--latency", type=_cost, default=0, metavar="TIME", help="of a message between two ranks (default 0)")
    _add_outputs(add)

    add = command("run", do_run, "train a small model on real ranks, also under torchrun").add_argument
    _add_schedule(add)
    add("--pace-ms", type=_pace, metavar="MS", help="hold F, I and W to this long each (B to twice that)")
    add("--steps", type=int, default=1, help="training steps (default 1)")
    add("--device", choices=["cpu", "cuda"], help="default: cuda if there is a GPU for every rank")
    add("--seed", type=int, default=0)
    add("--timeout", type=float, default=600, metavar="S", help="give up after this many seconds (default 600)")
    _add_outputs(add)

    add = command("profile", do_profile, "read a trace of torch.profiler: what is hidden?").add_argument
    add("file", type=Path, metavar="FILE", help="a Chrome trace, .json or .json.gz")
    _add_outputs(add, "draw what computes and what communicates", trace=False)

    add = command("eplb", do_eplb, "place experts on GPUs by their loads: table, JSON, picture").add_argument
    add("loads", type=Path, metavar="LOADS", help="[layers, experts] in a .csv, .npy or .json file")
    add("--replicas", type=int, required=True, metavar="N", help="physical experts per layer, in all")
    add("--gpus", type=int, required=True, metavar="N")
    add("--nodes", type=int, default=1, metavar="N", help="default 1")
    add("--groups", type=int, default=1, metavar="N", help="kept on one node each, if a multiple of the nodes")
    add("--policy", choices=POLICIES, help="default greedy, or incremental where there is a previous plan")
    add("--previous", type=Path, metavar="PLAN.json", help="from --json: start from this plan, count the moves")
    add("--max-moved", type=float, default=0.1, metavar="X", help="share of slots that incremental may change (0.1)")
    _add_outputs(add, "draw the plan", trace=False)

    from .course.grading import command as course

    course.add_arguments(command("grade", course.do_grade, "grade a submission, or a whole folder of them"))

    command("doctor", do_doctor, "say what this machine can do, and what to do about what it can't")
    return parser


def _add_schedule(add: Add) -> None:
    add("--schedule", choices=list(SCHEDULES), default="1f1b", metavar="NAME", help=", ".join(SCHEDULES))
    add("--ranks", type=int, default=int(os.environ.get("WORLD_SIZE", 4)), metavar="P")
    add("--microbatches", type=int, default=8, metavar="M")
    add("--chunks", type=int, metavar="V", help="stages per rank, for schedules that have a choice (default 2)")


def _add_outputs(add: Add, drawn: str = "draw it; a run below its prediction", trace: bool = True) -> None:
    if trace:
        add("--trace", type=_file, metavar="FILE.json", help="write a Chrome trace; open it in ui.perfetto.dev")
    add("--plot", type=_picture, metavar="FILE.png", help=drawn)
    add("--json", action="store_true", help="print one JSON object with the figures instead")


def _cost(text: str) -> Any:
    """A number, or one per stage, separated by commas. Whole numbers stay whole."""
    try:
        numbers = [int(each) if each.strip().lstrip("+-").isdigit() else float(each) for each in text.split(",")]
    except ValueError:
        wrong = f"expected a number, or one per stage, such as 1,1,2; got {text!r}"
        raise argparse.ArgumentTypeError(wrong) from None
    return numbers[0] if len(numbers) == 1 else numbers


def _file(text: str) -> Path:
    """A file that is written at the end: what would fail then fails now."""
    path = Path(text)
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"{text} can't be written: is its folder there, and may you write to it?")
    return path


def _picture(text: str) -> Path:
    """The same for a picture, whose file's ending says which kind it is to be."""
    from .show import picture_formats

    path = _file(text)
    kinds = picture_formats()
    if path.suffix and path.suffix[1:].lower() not in kinds:
        raise argparse.ArgumentTypeError(f"{text} is no kind of picture; there are {', '.join(kinds)}")
    return path


def _pace(text: str) -> float:
    try:
        pace = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected milliseconds; got {text!r}") from None
    if not 0 <= pace < math.inf:
        raise argparse.ArgumentTypeError(f"must be finite and not negative; got {text}")
    return pace
