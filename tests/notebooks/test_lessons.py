"""Every lesson runs, is committed as it ran, and keeps the lessons' rhythm."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.notebooks.execute import WIDGET_VIEW, execute

LESSONS = sorted(Path(__file__).parents[2].glob("notebooks/*.ipynb"))
EACH_LESSON = pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
PARTS = ["predict", "exercise", "recap", "quiz", "references"]


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def complaints(notebook: NotebookNode) -> list[str]:
    """What a reader should not see: errors, warnings, pictures that need a kernel, addresses in memory."""
    found = []
    for cell in code_cells(notebook):
        for output in cell.outputs:
            data = output.get("data", {})
            text = "".join(output.get("text", "")) + "".join(data.get("text/plain", ""))
            if output.output_type == "error":
                found.append(f"{output.ename}: {output.evalue}")
            if output.get("name") == "stderr":
                found.append(f"on stderr: {text}")
            if WIDGET_VIEW in data and not {"image/png", "text/html"} & set(data):
                found.append("a widget with neither picture (image/png) nor table (text/html) in its place")
            if re.search(r" at 0x[0-9a-f]{6,}", text):
                found.append(f"an address in memory: {text}")
    return found


def in_time(seconds: float) -> bool:
    """Under 90 seconds, if the machine has nothing else to do; with twice the work that it can do, it may take 180."""
    busy = os.getloadavg()[0] / (os.cpu_count() or 1)
    return seconds < 90 * max(1.0, busy)


@pytest.mark.lessons
@pytest.mark.timeout(600)
@EACH_LESSON
def test_runs_top_to_bottom_in_under_90_seconds(path: Path) -> None:
    """Where Chromium is, most lessons are executed in the browser instead: see conftest.py."""
    notebook, seconds = execute(path, cell_timeout=300)
    assert complaints(notebook) == []
    assert in_time(seconds)


@EACH_LESSON
def test_is_committed_as_it_ran(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "execute it: make notebooks"
    assert any(cell.outputs for cell in cells), "execute it: make notebooks"
    assert complaints(notebook) == []
    assert "widgets" not in notebook.metadata, "a widget's state is not committed"


@EACH_LESSON
def test_code_cells_are_short(path: Path) -> None:
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert len(cell.source.splitlines()) <= 15, cell.source


@EACH_LESSON
def test_keeps_the_rhythm(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    marked = "\n".join(re.findall(r"^(?:#+|\*\*).*", prose, re.MULTILINE)).lower()
    assert notebook.cells[0].source.startswith("# "), "the first cell is the title"
    assert [part for part in PARTS if part not in marked] == [], "headings that are missing"


@EACH_LESSON
def test_links_to_files_lead_somewhere(path: Path) -> None:
    prose = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    files = re.findall(r"\]\((?!https?:|#)([^)#]+)", prose)
    assert [file for file in files if not (path.parent / file).exists()] == []
