"""Every lesson in a real JupyterLab: run all, move every explorer, press every Run button, restart the kernel."""

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.browser.lab import Lab
from tests.browser.page import Browser, Notebook
from tests.notebooks.test_lessons import complaints, in_time

ROOT = Path(__file__).parents[2]
ARTEFACTS = ROOT / "artefacts"
LESSONS = sorted(ROOT.glob("notebooks/[0-9][0-9]_*.ipynb"))
SLIDER, RUN = "Micro-batches", ".pipelab-run"
EXPLORER, PREDICTED = ".pipelab-explorer", ".pipelab-explorer .pipelab-predicted"
#: Where a widget shows what real ranks have measured.
MEASURED = {EXPLORER: ".pipelab-measured", ".pipelab-overlap": ".pipelab-overlapped"}

pytestmark = [pytest.mark.browser, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=LESSONS, ids=lambda path: path.stem)
def lesson(request: pytest.FixtureRequest, browser: Browser, lab: Lab) -> Iterator[Notebook]:
    """A lesson, opened and run from top to bottom once. The tests below go on where the one before has left it."""
    notebook = browser.open(lab, request.param.name)
    notebook.run_all()
    notebook.screenshot(ARTEFACTS / f"{request.param.stem}.png")
    yield notebook
    notebook.close()
    lab.end_kernels()  # the next lesson has the machine for itself


@pytest.fixture
def explorer(lesson: Notebook) -> Notebook:
    """The same for a lesson with an explorer of schedules."""
    if not lesson.has(EXPLORER):
        pytest.skip("no explorer of schedules in this lesson")
    lesson.within = EXPLORER
    return lesson


def outputs_with(lesson: Notebook, css: str) -> list[str]:
    """Selectors of all outputs in which there is something that the CSS selector names."""
    count = lesson.page.evaluate(
        """css => {
            const all = [...document.querySelectorAll('.jp-OutputArea-output')];
            all.forEach(each => delete each.dataset.place);
            return all.filter(each => each.querySelector(css)).map((each, i) => each.dataset.place = i).length; }""",
        css,
    )
    return [f".jp-OutputArea-output[data-place='{place}']" for place in range(count)]


def test_runs_top_to_bottom_in_under_90_seconds(lesson: Notebook) -> None:
    assert lesson.complaints() == []
    assert complaints(lesson.content()) == []
    assert in_time(lesson.seconds)


def test_needs_no_network(lesson: Notebook) -> None:
    assert lesson.outside == []


def test_every_widget_follows_its_slider(lesson: Notebook) -> None:
    widgets = outputs_with(lesson, ".widget-slider")
    assert widgets, "a lesson shows its idea under sliders"
    for widget in widgets:
        lesson.within = widget
        slider = SLIDER if lesson.slider(SLIDER).count() else lesson.sliders()[0]
        before = lesson.shows(widget)
        lesson.press(slider, "ArrowRight")
        assert lesson.shows(widget) != before, f"{slider!r} moves nothing"
    assert lesson.complaints() == []


def test_held_key_leaves_the_picture_of_the_last_value(explorer: Notebook) -> None:
    start = explorer.value(SLIDER)
    back, forth = ("ArrowRight", "ArrowLeft") if start > 15 else ("ArrowLeft", "ArrowRight")
    explorer.press(SLIDER, forth, times=15)
    assert explorer.value(SLIDER) != start
    held = explorer.shows(PREDICTED)
    explorer.press(SLIDER, back)
    assert explorer.shows(PREDICTED) != held
    explorer.press(SLIDER, forth)
    assert explorer.shows(PREDICTED) == held


def test_every_run_button_shows_what_real_ranks_measured(lesson: Notebook, request: pytest.FixtureRequest) -> None:
    stem = request.node.callspec.id
    for place, widget in enumerate(outputs_with(lesson, RUN)):
        lesson.within = widget
        if lesson.slider(SLIDER).count():  # few micro-batches: a short run
            lesson.press(SLIDER, "Home")
            lesson.press(SLIDER, "ArrowRight", times=3)
        before = lesson.shows(widget)
        lesson.click(f"{widget} {RUN}")
        lesson.wait_enabled(f"{widget} {RUN}")
        lesson.settle()
        lesson.screenshot(ARTEFACTS / f"{stem}_run_{place}.png", widget)
        assert lesson.complaints() == []
        assert lesson.shows(widget) != before
        for root, measured in MEASURED.items():
            if lesson.has(f"{widget} {root}"):
                assert "<path" in lesson.picture(f"{widget} {measured}")


def test_kernel_restart_leaves_no_rank(explorer: Notebook, lab: Lab) -> None:
    explorer.press(SLIDER, "End")  # many micro-batches: a run that is not over before the restart
    before = lab.processes_of_kernels()
    explorer.click(f"{EXPLORER} {RUN}")
    started = lab.new_processes_of_kernels(before, count=4)
    lab.restart_kernels()
    _, alive = psutil.wait_procs(started, timeout=60)
    assert alive == []
