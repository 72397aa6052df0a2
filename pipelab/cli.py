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


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pipelab", description="Pipeline schedules: as tables, simulated, and run on real ranks.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Callable[[argparse.Namespace], int], summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(command=function)
        return sub

    table = command("table", do_table, "print a schedule, one CSV row per rank, in PyTorch's notation")
    _add_schedule(table)

    sim = command("simulate", do_simulate, "simulate a schedule: timeline and figures")
    _add_schedule(sim)
    for name, default, what in [
        ("forward", 1, "cost of F, or one per stage: 1,1,2 (default 1)"),
        ("backward-input", 1, "cost of I, or one per stage: 1,1,2 (default 1)"),
        ("backward-weight", 1, "cost of W, or one per stage: 1,1,2 (default 1)"),
        ("overlapped", None, "cost of an overlapped forward and backward"),
        ("latency", 0, "of a message between two ranks (default 0)"),
    ]:
        sim.add_argument(f"--{name}", type=_cost, default=default, metavar="TIME", help=what)
    _add_outputs(sim)

    run = command("run", do_run, "train a small model through a schedule on real ranks; also under torchrun")
    _add_schedule(run)
    run.add_argument("--pace-ms", type=_pace, metavar="MS", help="hold F, I and W to this long each (B to twice that)")
    run.add_argument("--steps", type=int, default=1, help="training steps (default 1)")
    run.add_argument("--device", choices=["cpu", "cuda"], help="default: cuda if there is a GPU for every rank")
    run.add_argument("--seed", type=int, default=0)
    run.add_argument(
        "--timeout", type=float, default=600, metavar="S", help="give up after this many seconds (default 600)"
    )
    _add_outputs(run)

    prof = command("profile", do_profile, "read a trace of torch.profiler: how much of its communication is hidden?")
    prof.add_argument("file", type=Path, metavar="FILE", help="a Chrome trace, .json or .json.gz")
    prof.add_argument("--plot", type=_picture, metavar="FILE.png", help="draw what computes and what communicates")
    prof.add_argument("--json", action="store_true", help="print one JSON object with the figures instead")

    eplb = command("eplb", do_eplb, "place experts on GPUs by their loads: a plan as a table, as JSON, as a picture")
    eplb.add_argument("loads", type=Path, metavar="LOADS", help="[layers, experts] in a .csv, .npy or .json file")
    eplb.add_argument("--replicas", type=int, required=True, metavar="N", help="copies of experts per layer, in all")
    eplb.add_argument("--gpus", type=int, required=True, metavar="N")
    eplb.add_argument("--nodes", type=int, default=1, metavar="N", help="default 1")
    eplb.add_argument(
        "--groups", type=int, default=1, metavar="N", help="kept together on one node each, if a multiple of the nodes"
    )
    eplb.add_argument(
        "--policy", choices=POLICIES, help="default greedy, or incremental where there is a previous plan"
    )
    eplb.add_argument(
        "--previous", type=Path, metavar="PLAN.json", help="a plan that --json printed: start from it, count the moves"
    )
    eplb.add_argument(
        "--max-moved", type=float, default=0.1, metavar="X", help="share of slots that incremental may change (0.1)"
    )
    eplb.add_argument("--plot", type=_picture, metavar="FILE.png", help="draw it")
    eplb.add_argument("--json", action="store_true", help="print the plan and its figures as one JSON object instead")

    from .course import command as course

    course.add_arguments(command("grade", course.do_grade, "grade a submission, or a whole folder of them"))

    command("doctor", do_doctor, "say what this machine can do, and what to do about what it can't")
    return parser


def _add_schedule(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--schedule", choices=list(SCHEDULES), default="1f1b", metavar="NAME", help=", ".join(SCHEDULES)
    )
    parser.add_argument("--ranks", type=int, default=int(os.environ.get("WORLD_SIZE", 4)), metavar="P")
    parser.add_argument("--microbatches", type=int, default=8, metavar="M")
    parser.add_argument(
        "--chunks", type=int, metavar="V", help="stages per rank, for schedules that have a choice (default 2)"
    )


def _add_outputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trace", type=_file, metavar="FILE.json", help="write a Chrome trace; open it in ui.perfetto.dev"
    )
    parser.add_argument("--plot", type=_picture, metavar="FILE.png", help="draw it; a run below its prediction")
    parser.add_argument("--json", action="store_true", help="print one JSON object with the figures instead")


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
