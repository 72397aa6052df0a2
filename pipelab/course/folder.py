"""Folder: a whole folder of hand-ins, graded one after the other; what is graded already is taken from before."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from .assignments import Assignment
from .assignments import assignment as named
from .confine import Limits
from .grading import grade
from .handins import HandIn, find_handins
from .marks import Grade, Mark

SUMMARY = "summary.csv"
_UNGRADED = "it could not be graded"


class Done(NamedTuple):
    """How far it is: the grade that has just been added, whether it is from before, and how many of how many."""

    grade: Grade
    known: bool
    done: int
    total: int


def grade_folder(
    folder: str | Path,
    assignment: str | Assignment,
    results: str | Path,
    *,
    hints: int = 0,
    limits: Limits | None = None,
    again: bool = False,
    progress: Callable[[Done], None] | None = None,
) -> list[Grade]:
    """Grade every hand-in of a folder; the grades by name.

    results   a folder: for each hand-in, NAME.json as Gradescope takes it and NAME.grade.json with everything, written
              at once; summary.csv of all of them at the end
    again     grade also what was graded before: the same content, for the same version of the assignment, with the same
              hints
    progress  called after each

    One that can't be graded at all has 0 points and the reason. ValueError where the folder has no hand-in.
    """
    wanted = named(assignment) if isinstance(assignment, str) else assignment
    results = Path(results)
    paths = find_handins(folder, wanted)
    names = _names(paths)
    results.mkdir(parents=True, exist_ok=True)
    grades = []
    for number, path in enumerate(paths, 1):
        of = names[path]
        fingerprint = _fingerprint(path, wanted, hints)
        found = None if again or not fingerprint else _before(results / f"{of}.grade.json", fingerprint)
        graded = found or _graded(path, of, wanted, hints, limits)
        if found is None:
            known = None if graded.foul.startswith(_UNGRADED) else fingerprint  # the next call tries again
            _write(results / f"{of}.grade.json", json.dumps({"of": known, "grade": json.loads(graded.to_json())}))
            _write(results / f"{of}.json", json.dumps(graded.gradescope(), indent=1))
        grades.append(graded)
        if progress:
            progress(Done(graded, found is not None, number, len(paths)))
    _write(results / SUMMARY, "".join(summary(grades)))
    return grades


def summary(grades: list[Grade]) -> Iterator[str]:
    """One CSV line per hand-in: points, each test's, the leaderboard's figures, and what was wrong."""
    tests = [*dict.fromkeys(mark.name for each in grades for mark in each.marks)]
    figures = [*dict.fromkeys(name for each in grades for name in each.figures)]
    line = _Line()
    writer = csv.writer(line, lineterminator="\n")
    writer.writerow(["name", "score", "of", *tests, *figures, "remark"])
    yield line.text
    for each in grades:
        scores = {mark.name: mark.score for mark in each.marks}
        row = [scores.get(name, "") for name in tests] + [each.figures.get(name, "") for name in figures]
        writer.writerow([_inert(each.name), each.score, each.max_score, *row, _inert(each.foul)])
        yield line.text


class _Line:
    """What csv writes to: keeps the last line."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _inert(text: str) -> str:
    """A spreadsheet takes text that begins so for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _names(paths: list[Path]) -> dict[Path, str]:
    """Without endings, unless two would be called the same."""
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    return {path: path.name if stems.count(stem) > 1 else stem for path, stem in zip(paths, stems, strict=True)}


def _fingerprint(path: Path, wanted: Assignment, hints: int) -> str | None:
    """Of all that decides about the grade; None if it can't be read."""
    try:
        content = HandIn.at(path, wanted).content
    except (ValueError, OSError):
        return None
    return f"{wanted.name} {wanted.version} {hints} {content}"


def _graded(path: Path, name: str, wanted: Assignment, hints: int, limits: Limits | None) -> Grade:
    """Whatever happens, a grade; an interrupt ends it all."""
    try:
        return grade(path, wanted, hints=hints, limits=limits, name=name)
    except Exception as error:  # one bad hand-in never stops the rest
        foul = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
        marks = tuple(Mark(test.name, 0, test.points, (foul,), (), test.visibility) for test in wanted.tests)
        return Grade(name, wanted.name, wanted.title, wanted.version, marks, f"{_UNGRADED}: {foul}")


def _before(file: Path, fingerprint: str) -> Grade | None:
    try:
        found = json.loads(file.read_text())
        return Grade.from_json(json.dumps(found["grade"])) if found["of"] == fingerprint else None
    except (ValueError, OSError, KeyError, TypeError):  # none, or cut off: it is graded again
        return None


def _write(file: Path, text: str) -> None:
    """Whole, or not at all: a run that is cut off leaves no half of a file."""
    beside = file.with_name(f".{file.name}.part")
    beside.write_text(text)
    os.replace(beside, file)
