"""The assignments' notebooks: what nbgrader gives to students and grades, and what the instructors' pages promise."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from pipelab.course import ASSIGNMENTS
from tests.notebooks.test_lessons import code_cells, complaints

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "notebooks" / "assignments"
STUB = "# YOUR CODE HERE\nraise NotImplementedError()"
SOLUTION = re.compile(r"^( *)### BEGIN SOLUTION\n(.*?)^ *### END SOLUTION$", re.MULTILINE | re.DOTALL)
EACH = pytest.mark.parametrize("name", ASSIGNMENTS)

pytestmark = [pytest.mark.lessons, pytest.mark.timeout(1200)]


def read(folder: Path, name: str) -> NotebookNode:
    return nbformat.read(folder / name / f"{name}.ipynb", as_version=4)


def solved(source: str) -> str:
    return SOLUTION.sub(lambda found: found[2].rstrip("\n"), source)


def cleared(source: str) -> str:
    """What nbgrader leaves of a cell."""
    return SOLUTION.sub(lambda found: "\n".join(found[1] + line for line in STUB.splitlines()), source)


def its_metadata(cell: NotebookNode) -> dict[str, object]:
    return dict(cell.metadata.get("nbgrader", {}))


@EACH
def test_a_notebook_of_its_own_with_what_nbgrader_wants(name: str) -> None:
    cells = read(FOLDER / "source", name).cells
    marked = [its_metadata(cell) for cell in cells if its_metadata(cell)]
    assert len({each["grade_id"] for each in marked}) == len(marked)
    assert all(each["schema_version"] == 3 for each in marked)
    (graded,) = (cell for cell in cells if its_metadata(cell).get("grade"))
    assert its_metadata(graded)["points"] == ASSIGNMENTS[name].points
    assert its_metadata(graded)["locked"] is True
    assert f'"{name}"' in graded.source
    answers = "\n".join(cell.source for cell in cells if its_metadata(cell).get("solution"))
    assert "### BEGIN SOLUTION" in answers
    for file, functions in ASSIGNMENTS[name].files.items():
        assert re.search(rf"^%%writefile (mine/)?{file}$", answers, re.MULTILINE)
        assert all(f"def {function}:" in answers for function in functions)
    assert not any(cell.outputs or cell.execution_count for cell in code_cells(read(FOLDER / "source", name)))


def test_no_assignment_is_without_a_notebook_and_a_page() -> None:
    assert {path.name for path in FOLDER.glob("source/*")} == set(ASSIGNMENTS)
    assert {path.stem for path in FOLDER.glob("instructor/*.md")} == set(ASSIGNMENTS)


@EACH
def test_the_instructors_page_has_the_rubric_that_is_graded(name: str) -> None:
    page = (FOLDER / "instructor" / f"{name}.md").read_text()
    rows = re.findall(r"^\| `(.+?)` \| (\d+) \|", page, re.MULTILINE)
    assert rows == [(test.name, f"{test.points:g}") for test in ASSIGNMENTS[name].tests]
    for part in ("## Goals", "## Time", "## Rubric", "## Common mistakes"):
        assert part in page


# -- with nbgrader -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the assignments, for nbgrader to work in, with the students' versions made."""
    folder = tmp_path_factory.mktemp("course")
    shutil.copytree(FOLDER / "source", folder / "source")
    shutil.copy(FOLDER / "nbgrader_config.py", folder)
    nbgrade("generate", folder)
    return folder


def nbgrade(what: str, folder: Path) -> dict[str, dict[str, float]]:
    """nbgrader is in this environment, or in the one that `make test` lays over it."""
    python = Path(sys.executable)
    if importlib.util.find_spec("nbgrader") is None:
        python = Path(sys.prefix) / "grade" / "bin" / "python"
        if not python.exists():
            missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            missing("nbgrader is missing: `make test` installs it, and so does `pip install nbgrader`")
    env = {
        **os.environ,
        "JUPYTER_PREFER_ENV_PATH": "1",
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder / ".ipython"),
    }
    env["PATH"] = f"{python.parent}{os.pathsep}{os.environ['PATH']}"  # as in an activated environment: it calls alembic
    line = [python, Path(__file__).with_name("nbgrade.py"), what, folder]
    done = subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def submit(course: Path, student: str, name: str, change: tuple[str, str] = ("", "")) -> None:
    """A submission with the reference solution, but for the change."""
    notebook, source = read(course / "release", name), read(course / "source", name)
    for cell, original in zip(notebook.cells, source.cells, strict=True):
        if its_metadata(cell).get("solution"):
            cell.source = solved(original.source).replace(*change)
    folder = course / "submitted" / student / name
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def scores(course: Path) -> dict[str, dict[str, float]]:
    """Student -> assignment -> points. ann has solved all, ben has written nothing, and cid puts no W off."""
    for name in ASSIGNMENTS:
        submit(course, "ann", name)
        shutil.copytree(course / "release" / name, course / "submitted" / "ben" / name)
    submit(course, "cid", "fill-the-bubbles", ("late = min(rank, microbatches)", "late = 0"))
    return nbgrade("autograde", course)


@EACH
def test_students_get_no_solution(course: Path, name: str) -> None:
    released, source = read(course / "release", name), read(course / "source", name)
    assert "SOLUTION" not in (course / "release" / name / f"{name}.ipynb").read_text()
    for cell, original in zip(released.cells, source.cells, strict=True):
        assert cell.source == cleared(original.source)
        assert bool(its_metadata(cell).get("solution")) == (cell.source != original.source)


@EACH
def test_a_solved_one_has_all_points_and_nothing_to_complain_of(
    course: Path, scores: dict[str, dict[str, float]], name: str
) -> None:
    assert complaints(read(course / "autograded" / "ann", name)) == []
    assert scores["ann"][name] == ASSIGNMENTS[name].points


@EACH
def test_an_untouched_one_has_none(scores: dict[str, dict[str, float]], name: str) -> None:
    assert scores["ben"][name] == 0


def test_a_half_solved_one_has_some(scores: dict[str, dict[str, float]]) -> None:
    """It runs, keeps little and trains, which is 6 points; and it is a little slow."""
    assert 6 < scores["cid"]["fill-the-bubbles"] < 10
