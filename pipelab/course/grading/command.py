"""Command: `python -m pipelab grade`, once its arguments are read."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from ...table import Table
from ..assignments import ASSIGNMENTS, Assignment, assignment
from ..isolation import Limits
from .folder import Done, grade_folder
from .grader import grade
from .leaderboard import Leaderboard
from .results import GradedSubmission
from .submissions import find_submissions

DESCRIPTION = """Grade a submission, or a folder of submissions: points, and a reason for each that is missing.
A submission's code runs in a process of its own, with limits, on a copy of its folder; its answers, plain data, are
judged here. That keeps mistakes away, but it is NOT A SECURITY SANDBOX: the code can do what you can do. Grade what you
don't trust in a container; docs/instructors.md has the line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("submission", type=Path, metavar="SUBMISSION", help="a file, its folder, or a folder of such")
    known = f"{', '.join(ASSIGNMENTS)}, or a .py file that defines ASSIGNMENT"
    parser.add_argument("--assignment", required=True, metavar="NAME", help=known)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="results.json for Gradescope; of a folder of submissions: a folder of them",
    )
    parser.add_argument("--hints", type=int, choices=[0, 1, 2], default=0, help="how much help with lost points (0)")
    parser.add_argument("--seconds", type=float, metavar="S", help="for all of a submission's code (default 10)")
    parser.add_argument("--again", action="store_true", help="grade also what is graded in --out already")
    parser.add_argument("--leaderboard", type=Path, metavar="FILE", help="add the figures to this file, and print it")
    parser.add_argument("--json", action="store_true", help="print Gradescope's JSON instead of a table")


def do_grade(options: argparse.Namespace) -> int:
    """0 once everything is graded, whatever the points."""
    wanted = assignment(options.assignment)
    limits = None if options.seconds is None else replace(wanted.limits, seconds=_positive(options.seconds))
    if not options.submission.exists():
        raise ValueError(f"{options.submission} is not there")
    with contextlib.redirect_stdout(sys.stderr):  # what ranks print is not what this command prints
        # One results.json is for one submission: a submission without the right file is told so, and has 0 points.
        one_result = options.out is not None and options.out.suffix == ".json" and not options.out.is_dir()
        single = one_result or find_submissions(options.submission, wanted) == [options.submission]
        if single:
            all_graded = [grade(options.submission, wanted, hints=options.hints, limits=limits)]
        else:
            all_graded = _folder(options, wanted, limits)
    if single and options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(all_graded[0].gradescope(), indent=1))
    _print(options, all_graded, single)
    return 0


def _folder(options: argparse.Namespace, wanted: Assignment, limits: Limits | None) -> list[GradedSubmission]:
    if not options.out:
        raise ValueError("a folder of submissions needs --out FOLDER for their results")
    if options.out.is_file():
        raise ValueError(f"{options.out} is a file; a folder of submissions needs a folder for their results")
    show = _Progress()
    try:
        return grade_folder(
            options.submission,
            wanted,
            options.out,
            hints=options.hints,
            limits=limits,
            again=options.again,
            progress=show,
        )
    finally:
        show.clear()


def _print(options: argparse.Namespace, all_graded: list[GradedSubmission], single: bool) -> None:
    if options.json:
        found = {graded.name: graded.gradescope() for graded in all_graded}
        print(json.dumps(found[all_graded[0].name] if single else found))
    elif single:
        print(all_graded[0].table(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    else:
        mean = sum(each.score for each in all_graded) / len(all_graded)
        where = options.out / "summary.csv"
        note = f"{len(all_graded)} submissions, {mean:.2f} points on average; all in {where}"
        rows = [(each.name, each.score, each.max_score, each.foul) for each in all_graded]
        print(Table(rows, ["name", "score", "of", "remark"], formats={"score": "g", "of": "g"}, notes=[note]))
    if options.leaderboard:
        board = Leaderboard(options.leaderboard)
        for each in all_graded:
            board.add_grade(each)
        if not options.json:
            print(board)


class _Progress:
    """One line on the terminal that says how far it is; elsewhere, one line for each submission."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()

    def __call__(self, done: Done) -> None:
        known = " (as before)" if done.known else ""
        line = f"{done.done}/{done.total}  {done.graded.name}: {done.graded.score:g}{known}"
        end = "" if self.terminal else "\n"
        print(("\r\x1b[K" if self.terminal else "") + line, end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _positive(seconds: float) -> float:
    if not 0 < seconds < 3600:
        raise ValueError(f"--seconds must be above 0 and below 3600; got {seconds:g}")
    return seconds
