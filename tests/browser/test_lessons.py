"""The lessons in a real JupyterLab: run all, move a slider, press the button, restart the kernel."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.browser.lab import Browser, Lab, Notebook

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts"
NUMBERS = ("00", "01", "02", "03", "04", "05", "06", "07", "08")
LESSONS = [path for number in NUMBERS for path in sorted(ROOT.glob(f"notebooks/{number}_*.ipynb"))]
EXPLORER, SLIDER, PREDICTED, MEASURED = ".pipelab-explorer", "Micro-batches", ".pipelab-predicted", ".pipelab-measured"

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=LESSONS, ids=lambda path: path.stem)
def lesson(request: pytest.FixtureRequest, browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """A lesson, opened and run from top to bottom once. The tests below go on where the one before has left it."""
    notebook = browser.open(lab, request.param.name)
    notebook.run_all(timeout=150)
    notebook.screenshot(ARTEFACTS / f"{request.param.stem}.png")
    yield notebook
    notebook.close()


@pytest.fixture
def explorer(lesson: Notebook, request: pytest.FixtureRequest) -> Iterator[Notebook]:
    """The same for a lesson with an explorer; a screenshot shows how each test left it."""
    if not lesson.has(EXPLORER):
        pytest.skip("no explorer in this lesson")
    lesson.within = EXPLORER
    yield lesson
    name, _, stem = request.node.name.strip("]").partition("[")
    lesson.screenshot(ARTEFACTS / f"{stem}_{name}.png", EXPLORER)


def test_runs_without_a_complaint(lesson: Notebook) -> None:
    assert lesson.complaints() == []


def test_needs_no_network(lesson: Notebook) -> None:
    assert lesson.outside == []


def test_slider_changes_the_picture(explorer: Notebook) -> None:
    before = explorer.picture(PREDICTED)
    explorer.press(SLIDER, "ArrowRight")
    assert explorer.picture(PREDICTED) != before


def test_held_key_leaves_the_picture_of_the_last_value(explorer: Notebook) -> None:
    start = explorer.value(SLIDER)
    explorer.press(SLIDER, "ArrowLeft" if start > 15 else "ArrowRight", times=15)
    assert explorer.value(SLIDER) != start
    held = explorer.picture(PREDICTED)
    back, forth = ("ArrowRight", "ArrowLeft") if start > 15 else ("ArrowLeft", "ArrowRight")
    explorer.press(SLIDER, back)
    assert explorer.picture(PREDICTED) != held
    explorer.press(SLIDER, forth)
    assert explorer.picture(PREDICTED) == held


def test_run_on_real_ranks_shows_the_measured_timeline(explorer: Notebook) -> None:
    explorer.press(SLIDER, "Home")  # few micro-batches: a short run
    explorer.press(SLIDER, "ArrowRight", times=3)
    explorer.click(f"{EXPLORER} .pipelab-run")
    assert "<path" in explorer.picture(MEASURED, timeout=60)
    assert explorer.complaints() == []


def test_a_pair_on_real_ranks_shows_what_it_hides(lesson: Notebook) -> None:
    if not lesson.has(".pipelab-hider"):
        pytest.skip("no pair in this lesson")
    before = lesson.picture(".pipelab-pair")
    lesson.within = ".pipelab-hider"
    lesson.press("Communication share", "ArrowRight")
    assert lesson.picture(".pipelab-pair") != before
    lesson.click(".pipelab-hider .pipelab-run")
    assert "<path" in lesson.picture(".pipelab-overlapped", timeout=90)
    lesson.screenshot(ARTEFACTS / "07_pair.png", ".pipelab-hider")
    assert lesson.complaints() == []


def test_kernel_restart_leaves_no_rank(explorer: Notebook, lab: Lab) -> None:
    explorer.click(f"{EXPLORER} .pipelab-run")
    explorer.page.wait_for_timeout(1000)
    started = lab.processes_of_kernels()
    assert started, "a run on real ranks starts processes"
    lab.restart_kernels()
    _, alive = psutil.wait_procs(started, timeout=5)
    assert alive == []
