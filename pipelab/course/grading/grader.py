"""Grader: a submission's code answers in a process of its own; here, in a clean one, its answers are judged."""

from __future__ import annotations

import time
from pathlib import Path

from ...ir import from_csv
from ..assignments import Assignment, Judged, Refused, Replies, Test, assignment as named
from ..isolation import Answer, Answers, Limits, Question, ask
from ..isolation.runner import plain
from .results import GradedSubmission, ScoredTest
from .submissions import Submission


def grade(
    submission: str | Path,
    assignment: str | Assignment,
    *,
    hints: int = 0,
    limits: Limits | None = None,
    real: bool = True,
    name: str | None = None,
) -> GradedSubmission:
    """Grade one submission: points, and a reason for every one that is missing.

    Its code runs only in another process, on a copy of its folder, and answers with plain data. That is no security
    sandbox: see docs/instructors.md.

    Parameters
    ----------
    submission : path
        The file, or the folder that it is in.
    assignment : str or Assignment
        Its name, one of ASSIGNMENTS; the path of a file that defines one; or one of your own.
    hints : int
        0: reasons only; 1: and a hint for each test that lost points; 2: and a larger one.
    limits : Limits, optional
        Of time, memory, output and processes. Default: the assignment's.
    real : bool
        False leaves out the runs on real ranks, and their points.
    name : str, optional
        Of the submission. Default: that of its file or folder.

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    ValueError
        For what is no submission of this assignment, an unknown assignment, or another level of hints.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "order.py")
    ...     _ = file.write_text("my_order = lambda: ['dispatch(F)']")
    ...     grade(file, "overlap-order").tests[0].reasons[0]
    'attention(F) is missing'
    """
    began = time.monotonic()
    wanted = named(assignment) if isinstance(assignment, str) else assignment
    if hints not in (0, 1, 2):
        raise ValueError(f"hints are of level 0, 1 or 2; got {hints!r}")
    found = Submission.at(submission, wanted)
    answers = _answers(found, wanted, limits)
    replies = Replies(wanted.questions, answers.answers)
    return GradedSubmission(
        name=name or found.name,
        assignment=wanted.name,
        title=wanted.title,
        version=wanted.version,
        tests=tuple(_scored(test, replies, answers.foul, hints) for test in wanted.tests if real or not test.real),
        foul=answers.foul,
        printed=answers.printed,
        figures={} if answers.foul or not wanted.figures else wanted.figures(replies),
        seconds=time.monotonic() - began,
    )


def feedback(submission: str | Path, assignment: str | Assignment, *, hints: int = 1) -> GradedSubmission:
    """Grade one submission, with hints: what a notebook shows.

    Parameters
    ----------
    submission, assignment, hints : path, str or Assignment, int
        As for `grade`.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "order.py")
    ...     _ = file.write_text("my_order = lambda: ['dispatch(F)']")
    ...     feedback(file, "overlap-order").tests[0].hints
    ('each segment once; of each direction, a segment comes after the one whose result it needs',)
    """
    return grade(submission, assignment, hints=hints)


def _scored(test: Test, replies: Replies, foul: str, hints: int) -> ScoredTest:
    try:
        judged = Judged(0, (foul,)) if foul else test.judge(replies)
    except Refused as refused:
        judged = Judged(0, (str(refused),))
    share = min(1.0, max(0.0, judged.share))
    lost = share < 1 - 1e-9
    score = round(share * test.points, 2) if lost else test.points
    given = test.hints[:hints] if lost and not foul else ()
    return ScoredTest(test.name, score, test.points, judged.reasons, given, test.visibility)


def _answers(found: Submission, wanted: Assignment, limits: Limits | None) -> Answers:
    tables = {name: file for name, file in found.files.items() if name.endswith(".csv")}
    if wanted.table and tables and not wanted.files.keys() & found.files.keys():
        return _from_tables(tables, wanted)
    return ask(found.files, wanted.questions, limits or wanted.limits, wanted.pipelab)


def _from_tables(tables: dict[str, Path], wanted: Assignment) -> Answers:
    """A table answers the question of its own size. Nothing has to be run for it."""
    found: dict[tuple, Answer] = {}
    problems = []
    for name, file in tables.items():
        try:
            schedule = from_csv(file.read_text(), name=name)
            found[schedule.num_ranks, schedule.num_microbatches] = Answer(plain(schedule.programs))
        except ValueError as error:  # UnicodeDecodeError is one, too
            problems.append(f"{name}: {error}")

    def answer(question: Question) -> Answer:
        if question.function == wanted.table and question.arguments in found:
            return found[question.arguments]
        sizes = " and ".join(f"{ranks} ranks and {microbatches} micro-batches" for ranks, microbatches in found)
        return Answer(error="; ".join(problems) or f"the table is for {sizes} only")

    return Answers(tuple(map(answer, wanted.questions)))
