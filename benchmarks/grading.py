"""Grading: one warm submission of each assignment, its run on real ranks included; and a whole folder of them.

The warm figures are medians; cold is a command of its own, which has to import torch first. A submission's code answers
in a fresh process each time. The folder has so many submissions of the same assignment, one after the other.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from _table import Row, arguments, show

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from pipelab.course import ASSIGNMENTS, grade, grade_folder  # noqa: E402
from tests.course.submissions import submission  # noqa: E402

FOLDER_OF = "fill-the-bubbles"


def warm(folder: Path, name: str, times: int) -> Row:
    submitted = submission(folder / name, name)
    taken = []
    for _ in range(times + 1):  # the first starts the forkserver
        began = time.perf_counter()
        graded = grade(submitted, name)
        taken.append(time.perf_counter() - began)
        assert graded.passed, graded
    began = time.perf_counter()
    grade(submitted, name, real=False)
    without = time.perf_counter() - began
    line = [sys.executable, "-m", "pipelab", "grade", str(submitted), "--assignment", name]
    began = time.perf_counter()
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    cold = time.perf_counter() - began
    return {"what": name, "submissions": 1, "warm s": median(taken[1:]), "without ranks s": without, "cold s": cold}


def many(folder: Path, count: int) -> Row:
    for number in range(count):
        submission(folder / "submissions" / f"student{number:03}", FOLDER_OF)
    began = time.perf_counter()
    grades = grade_folder(folder / "submissions", FOLDER_OF, folder / "results")
    taken = time.perf_counter() - began
    assert all(grade.passed for grade in grades)
    return {"what": FOLDER_OF, "submissions": count, "warm s": taken, "without ranks s": "-", "cold s": "-"}


def main() -> None:
    options = arguments(__doc__, times=3, submissions=20)
    with tempfile.TemporaryDirectory() as folder:
        rows = [warm(Path(folder), name, options.times) for name in ASSIGNMENTS]
        rows.append(many(Path(folder), options.submissions))
    show(options, rows, f"warm: medians of {options.times}; a folder: all of it (--submissions 200 for a whole course)")


if __name__ == "__main__":
    main()
