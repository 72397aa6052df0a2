"""Command: `python -m pipelab grade`, once its arguments are read."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from .assignments import ASSIGNMENTS, Assignment, assignment
from .confine import Limits
from .folder import Done, grade_folder
from .grading import grade
from .handins import find_handins
from .leaderboard import Leaderboard
from .marks import Grade

DESCRIPTION = """Grade a hand-in, or a folder of hand-ins: points, and a reason for each that is missing.
A hand-in's code runs in a process of its own, with limits, on a copy of its folder; its answers, plain data, are judged
here. That keeps mistakes away, but it is NOT A SECURITY SANDBOX: the code can do what you can do. Grade what you don't
trust in a container; docs/instructors.md has the line."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.add_argument("handin", type=Path, metavar="HANDIN", help="a file, its folder, or a folder of such")
    known = f"{', '.join(ASSIGNMENTS)}, or a .py file that defines ASSIGNMENT"
    parser.add_argument("--assignment", required=True, metavar="NAME", help=known)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PATH",
        help="results.json for Gradescope; of a folder of hand-ins: a folder of them",
    )
    parser.add_argument("--hints", type=int, choices=[0, 1, 2], default=0, help="how much help with lost points (0)")
    parser.add_argument("--seconds", type=float, metavar="S", help="for all of a hand-in's code (default 10)")
    parser.add_argument("--again", action="store_true", help="grade also what is graded in --out already")
    parser.add_argument("--leaderboard", type=Path, metavar="FILE", help="add the figures to this file, and print it")
    parser.add_argument("--json", action="store_true", help="print Gradescope's JSON instead of a table")


def do_grade(options: argparse.Namespace) -> int:
    """0 once everything is graded, whatever the points."""
    wanted = assignment(options.assignment)
    limits = None if options.seconds is None else replace(wanted.limits, seconds=_positive(options.seconds))
    if not options.handin.exists():
        raise ValueError(f"{options.handin} is not there")
    with contextlib.redirect_stdout(sys.stderr):  # what ranks print is not what this command prints
        # One results.json is for one hand-in: a submission without the right file is told so, and has 0 points.
        one_result = options.out is not None and options.out.suffix == ".json" and not options.out.is_dir()
        single = one_result or find_handins(options.handin, wanted) == [options.handin]
        if single:
            grades = [grade(options.handin, wanted, hints=options.hints, limits=limits)]
        else:
            grades = _folder(options, wanted, limits)
    if single and options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(grades[0].gradescope(), indent=1))
    _print(options, grades, single)
    return 0


def _folder(options: argparse.Namespace, wanted: Assignment, limits: Limits | None) -> list[Grade]:
    if not options.out:
        raise ValueError("a folder of hand-ins needs --out FOLDER for their results")
    if options.out.is_file():
        raise ValueError(f"{options.out} is a file; a folder of hand-ins needs a folder for their results")
    show = _Progress()
    try:
        return grade_folder(
            options.handin,
            wanted,
            options.out,
            hints=options.hints,
            limits=limits,
            again=options.again,
            progress=show,
        )
    finally:
        show.clear()


def _print(options: argparse.Namespace, grades: list[Grade], single: bool) -> None:
    if options.json:
        found = [grade.gradescope() for grade in grades]
        print(json.dumps(found[0] if single else dict(zip([g.name for g in grades], found, strict=True))))
    elif single:
        print(grades[0].table(shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    else:
        width = max(len(grade.name) for grade in grades)
        for each in grades:
            print(f"{each.name:<{width}}  {each.score:>6g} / {each.max_score:g}  {each.foul}".rstrip())
        mean = sum(each.score for each in grades) / len(grades)
        print(f"{len(grades)} hand-ins, {mean:.2f} points on average; all in {options.out / 'summary.csv'}")
    if options.leaderboard:
        board = Leaderboard(options.leaderboard)
        for each in grades:
            board.add_grade(each)
        if not options.json:
            print(board)


class _Progress:
    """One line on the terminal that says how far it is; elsewhere, one line for each hand-in."""

    def __init__(self) -> None:
        self.terminal = sys.stderr.isatty()

    def __call__(self, done: Done) -> None:
        known = " (as before)" if done.known else ""
        line = f"{done.done}/{done.total}  {done.grade.name}: {done.grade.score:g}{known}"
        end = "" if self.terminal else "\n"
        print(("\r\x1b[K" if self.terminal else "") + line, end=end, file=sys.stderr, flush=True)

    def clear(self) -> None:
        if self.terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _positive(seconds: float) -> float:
    if not 0 < seconds < 3600:
        raise ValueError(f"--seconds must be above 0 and below 3600; got {seconds:g}")
    return seconds
