"""Folder: a whole folder of submissions, graded one after the other; what is graded already is taken from before."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path

from ...ranks import Progress
from ..assignments import Assignment, assignment as named
from ..isolation import Limits
from .grader import grade
from .results import GradedSubmission, ScoredTest
from .submissions import Submission, find_submissions

SUMMARY = "summary.csv"
_UNGRADED = "it could not be graded"


def grade_folder(
    folder: str | Path,
    assignment: str | Assignment,
    results: str | Path,
    *,
    hints: int = 0,
    limits: Limits | None = None,
    again: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> list[GradedSubmission]:
    """Grade every submission of a folder. One that can't be graded at all has 0 points and the reason.

    Parameters
    ----------
    folder : path
        Of submissions, each a file or a folder.
    assignment : str or Assignment
        As for `grade`.
    results : path
        A folder. For each submission, NAME.json as Gradescope takes it and NAME.grade.json with everything are written
        at once, and summary.csv at the end.
    hints, limits : int, Limits, optional
        As for `grade`.
    again : bool
        Grade also what was graded before: the same content, for the same version of the assignment and the same hints.
    progress : function, optional
        Called with a Progress after each: how many are graded, of how many, and the name and score of this one.

    Returns
    -------
    list of GradedSubmission
        By name.

    Raises
    ------
    ValueError
        The folder has no submission.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("ann", "bob"):
    ...         _ = Path(folder, f"{name}.py").write_text("my_order = lambda: ['dispatch(F)']")
    ...     [(each.name, each.score) for each in grade_folder(folder, "overlap-order", folder + "/results")]
    [('ann', 0.0), ('bob', 0.0)]
    """
    wanted = named(assignment) if isinstance(assignment, str) else assignment
    results = Path(results)
    paths = find_submissions(folder, wanted)
    results.mkdir(parents=True, exist_ok=True)
    all_graded = []
    for number, (of, path) in enumerate(zip(_names(paths), paths, strict=True), 1):
        fingerprint = _fingerprint(path, wanted, hints)
        found = None if again or not fingerprint else _before(results / f"{of}.grade.json", fingerprint)
        graded = found if found is not None else _graded(path, of, wanted, hints, limits)
        if found is None:
            known = None if graded.foul.startswith(_UNGRADED) else fingerprint  # the next call tries again
            _write(results / f"{of}.grade.json", json.dumps({"of": known, "grade": json.loads(graded.to_json())}))
            _write(results / f"{of}.json", json.dumps(graded.gradescope(), indent=1))
        all_graded.append(graded)
        if progress:
            said = f"{graded.name}: {graded.score:g}" + (" (as before)" if found is not None else "")
            progress(Progress(number, len(paths), (said,)))
    _write(results / SUMMARY, _summary(all_graded))
    return all_graded


def _summary(all_graded: list[GradedSubmission]) -> str:
    """One CSV line per submission: points, each test's, the leaderboard's figures, and what was wrong."""
    tests = [*dict.fromkeys(test.name for each in all_graded for test in each.tests)]
    figures = [*dict.fromkeys(name for each in all_graded for name in each.figures)]
    file = io.StringIO()
    writer = csv.DictWriter(file, ["name", "score", "of", *tests, *figures, "remark"], lineterminator="\n")
    writer.writeheader()
    for each in all_graded:
        points = {"score": each.score, "of": each.max_score, **{test.name: test.score for test in each.tests}}
        writer.writerow({"name": _inert(each.name), **points, **each.figures, "remark": _inert(each.foul)})
    return file.getvalue()


def _inert(text: str) -> str:
    """A spreadsheet takes text that begins so for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _names(paths: list[Path]) -> list[str]:
    """Without endings, unless two would be called the same."""
    stems = [path.name if path.is_dir() else path.stem for path in paths]
    return [path.name if stems.count(stem) > 1 else stem for path, stem in zip(paths, stems, strict=True)]


def _fingerprint(path: Path, wanted: Assignment, hints: int) -> str | None:
    """Of all that decides about the points; None if it can't be read."""
    try:
        content = Submission.at(path, wanted).content
    except (ValueError, OSError):
        return None
    return f"{wanted.name} {wanted.version} {hints} {content}"


def _graded(path: Path, name: str, wanted: Assignment, hints: int, limits: Limits | None) -> GradedSubmission:
    """Whatever happens, a result; an interrupt ends it all."""
    try:
        return grade(path, wanted, hints=hints, limits=limits, name=name)
    except Exception as error:  # one bad submission never stops the rest
        foul = str(error) if isinstance(error, ValueError | OSError) else f"{type(error).__name__}: {error}"
        tests = tuple(ScoredTest(test.name, 0, test.points, (foul,), (), test.visibility) for test in wanted.tests)
        return GradedSubmission(name, wanted.name, wanted.title, wanted.version, tests, f"{_UNGRADED}: {foul}")


def _before(file: Path, fingerprint: str) -> GradedSubmission | None:
    try:
        found = json.loads(file.read_text())
        return GradedSubmission.from_json(json.dumps(found["grade"])) if found["of"] == fingerprint else None
    except (ValueError, OSError, KeyError, TypeError):  # none, or cut off: it is graded again
        return None


def _write(file: Path, text: str) -> None:
    """Whole, or not at all: a run that is cut off leaves no half of a file."""
    beside = file.with_name(f".{file.name}.part")
    beside.write_text(text)
    os.replace(beside, file)
