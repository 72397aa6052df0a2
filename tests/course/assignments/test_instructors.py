"""The instructors' page says what is so, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelab import build
from pipelab.course import ASSIGNMENTS, grade
from pipelab.course.assignments import Replies, assignment
from pipelab.course.isolation import Answer
from pipelab.ir import to_csv
from tests.course.submissions import write

PAGE = (Path(__file__).parents[3] / "docs" / "instructors.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
OWN, TEST = (next(code for code in EXAMPLES if word in code) for word in ("ASSIGNMENT =", "def short"))


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_its_table_lists_every_assignment(name):
    (row,) = re.findall(rf"^\| `{name}` \| .*$", PAGE, re.MULTILINE)
    for file, functions in ASSIGNMENTS[name].files.items():
        assert all(f"`{each}`" in row for each in (file, *functions))
    assert ASSIGNMENTS[name].points == 10


def test_every_assignment_that_it_names_is_there():
    named = {*re.findall(r"--assignment ([\w-]+)(?=[\s`])", PAGE), *re.findall(r'", "([\w-]+)"\)', PAGE)}
    assert named <= {*ASSIGNMENTS}
    assert len(named) >= 3


def test_an_assignment_of_ones_own(tmp_path):
    own = write(tmp_path, OWN, "week3.py")
    table = write(tmp_path, to_csv(build("interleaved", 4, 8)), "ann.csv")
    graded = grade(table, str(own), hints=2)
    runs, fast, trains = graded.tests
    assert (graded.title, graded.version) == ("Interleaved 1F1B", 1)
    assert trains.full
    assert (runs.score, fast.score) == (2, 2)  # one of two sizes
    assert len(runs.hints) == 2


def test_a_test_of_ones_own(tmp_path):
    names: dict = {}
    exec(OWN + TEST, names)
    questions = names["pipeline"].questions
    programs = [[str(action) for action in program] for program in build("interleaved", 4, 8).programs]
    replies = Replies(questions, [Answer(error="none"), Answer(programs)])
    assert names["short_enough"].judge(replies) == (1, ())
    split = [[half for action in program for half in halves(action)] for program in programs]
    share, reasons = names["short_enough"].judge(Replies(questions, [Answer(error="none"), Answer(split)]))
    assert share == pytest.approx(32 / 48)
    assert reasons == ("rank 0 has 48 actions; 32 will do",)


def halves(action: str) -> list[str]:
    return [action.replace("B", "I"), action.replace("B", "W")] if "B" in action else [action]


def test_a_file_that_has_no_assignment(tmp_path):
    with pytest.raises(ValueError, match="defines no ASSIGNMENT"):
        assignment(str(write(tmp_path, "ASSIGNMENT = 3", "week4.py")))
