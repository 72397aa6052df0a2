"""Command: `python -m pipelab grade`, once its arguments are read."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from ...ranks import Progress
from ...table import Table
from ..assignments import ASSIGNMENTS, Assignment, assignment
from ..isolation import Limits
from .folder import grade_folder
from .grader import grade
from .leaderboard import Leaderboard
from .results import GradedSubmission
from .submissions import find_submissions

DESCRIPTION = """Grade a submission, or a folder of submissions: points, and a reason for each that is missing.
A submission's code runs in a process of its own, with limits, on a copy of its folder; its answers, plain data, are
judged here. That keeps mistakes away, but it is NOT A SECURITY SANDBOX: the code can do what you can do. Grade what you
don't trust in a container; docs/instructors.md has the line."""

_CLEAR = "\r\x1b[K"  # a terminal's line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    add = parser.add_argument
    add("submission", type=Path, metavar="SUBMISSION", help="a file, its folder, or a folder of such")
    known = f"{', '.join(ASSIGNMENTS)}, or a .py file that defines ASSIGNMENT"
    add("--assignment", required=True, metavar="NAME", help=known)
    add("--out", type=Path, metavar="PATH", help="results.json for Gradescope; for a folder: a folder of such")
    add("--hints", type=int, choices=[0, 1, 2], default=0, help="how much help with lost points (0)")
    add("--seconds", type=float, metavar="S", help="for all of a submission's code (default 10)")
    add("--again", action="store_true", help="grade also what is graded in --out already")
    add("--leaderboard", type=Path, metavar="FILE", help="add the figures to this file, and print it")
    add("--json", action="store_true", help="print Gradescope's JSON instead of a table")


def do_grade(options: argparse.Namespace) -> int:
    """0 once everything is graded, whatever the points."""
    wanted = assignment(options.assignment)
    limits = wanted.limits
    if options.seconds is not None:
        if not 0 < options.seconds < 3600:
            raise ValueError(f"--seconds must be above 0 and below 3600; got {options.seconds:g}")
        limits = replace(limits, seconds=options.seconds)
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


def _folder(options: argparse.Namespace, wanted: Assignment, limits: Limits) -> list[GradedSubmission]:
    if not options.out:
        raise ValueError("a folder of submissions needs --out FOLDER for their results")
    if options.out.is_file():
        raise ValueError(f"{options.out} is a file; a folder of submissions needs a folder for their results")
    passed_on = {"hints": options.hints, "limits": limits, "again": options.again}
    try:
        return grade_folder(options.submission, wanted, options.out, **passed_on, progress=_tell)
    finally:
        print(_CLEAR * sys.stderr.isatty(), end="", file=sys.stderr, flush=True)


def _tell(progress: Progress) -> None:
    """One line on the terminal that says how far it is; elsewhere, one line for each submission."""
    terminal = sys.stderr.isatty()
    line = f"{progress.done}/{progress.total}  {progress.where[0]}"
    print(_CLEAR * terminal + line, end="" if terminal else "\n", file=sys.stderr, flush=True)


def _print(options: argparse.Namespace, all_graded: list[GradedSubmission], single: bool) -> None:
    if options.json:
        found = {graded.name: graded.gradescope() for graded in all_graded}
        print(json.dumps(found[all_graded[0].name] if single else found))
    elif single:
        print(all_graded[0].table(width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
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
