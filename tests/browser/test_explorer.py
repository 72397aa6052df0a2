"""The explorer in a real browser: pointing explains, time can be played, Cancel ends ranks while the kernel answers."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.lab import Browser, Lab, Notebook

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
CELLS = ["from pipelab import explore\nexplore('1f1b', ranks=4, microbatches=8, against='gpipe', pace_ms=50)", "1 + 1"]

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def own_lab(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in CELLS]), folder / "explorer.ipynb")
    with Lab(folder) as lab:
        yield lab


@pytest.fixture(scope="module")
def explorer(browser: Browser, own_lab: Lab) -> Iterator[Notebook]:
    notebook = browser.open(own_lab, "explorer.ipynb")
    notebook.run_all()
    notebook.page.locator(".pipelab-hover").first.wait_for(state="attached", timeout=20_000)
    yield notebook
    notebook.close()


def point(explorer: Notebook, rank: float, share: float) -> None:
    """Move the mouse to a rank's row, at this part of the time axis."""
    picture = explorer.page.locator(".pipelab-predicted svg").first
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box
    unit = box["width"] / 960
    explorer.page.mouse.move(box["x"] + (58 + 882 * share) * unit, box["y"] + (24 + 30 * (rank + 0.5)) * unit)


def shown(explorer: Notebook) -> list[str]:
    """What hovering shows at the moment."""
    return explorer.page.evaluate(
        """() => [...document.querySelectorAll('.pipelab-hover text')]
            .filter(e => getComputedStyle(e).visibility === 'visible').map(e => e.textContent)"""
    )


def test_pointing_at_an_action_tells_what_it_needed_and_unblocked(explorer: Notebook) -> None:
    point(explorer, 1, 15 / 33)
    assert shown(explorer) == ["1B2 on rank 1, from 14 to 16 · needed 1F2, 2B2 (rank 2) · unblocked 0B2 (rank 0)"]
    explorer.screenshot(ARTEFACTS / "explorer_action.png", ".pipelab-explorer")


def test_pointing_at_a_gap_tells_why_it_is_there(explorer: Notebook) -> None:
    point(explorer, 0, 7 / 33)
    assert shown(explorer) == ["rank 0 waits for 1B0 from rank 1, from 4 to 10"]


def test_the_layers_lie_exactly_on_the_picture(explorer: Notebook) -> None:
    boxes = [explorer.page.locator(css).first.bounding_box() for css in (".pipelab-hover", ".pipelab-predicted svg")]
    assert boxes[0] == boxes[1]


def test_time_can_be_moved_and_played(explorer: Notebook) -> None:
    explorer.press("Time", "ArrowRight", times=20)
    assert explorer.has(".pipelab-cursor")
    before = explorer.page.locator(".pipelab-moment").first.inner_text()
    assert "rank 3" in before
    explorer.page.locator(".widget-play button").first.click()
    explorer.page.wait_for_function(
        "before => document.querySelector('.pipelab-moment').innerText !== before", arg=before, timeout=10_000
    )
    explorer.page.locator(".widget-play button").first.click()
    explorer.screenshot(ARTEFACTS / "explorer_time.png", ".pipelab-explorer")
    explorer.press("Time", "Home")
    assert not explorer.has(".pipelab-cursor")


def test_cancel_ends_the_ranks_while_the_kernel_answers(explorer: Notebook, own_lab: Lab) -> None:
    explorer.press("Micro-batches", "End")
    explorer.click(".pipelab-run")
    explorer.page.wait_for_function(
        "() => /rank 0: \\d/.test(document.querySelector('.pipelab-status').innerText)", timeout=60_000
    )
    ranks = own_lab.processes_of_kernels()
    assert len(ranks) >= 4
    explorer.page.evaluate(
        """() => { const {content} = window.jupyterapp.shell.currentWidget;
            content.activeCellIndex = 1; window.jupyterapp.commands.execute('notebook:run-cell'); }"""
    )
    explorer.page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.content.widgets[1].model.executionCount === 3", timeout=5_000
    )
    explorer.click(".pipelab-cancel")
    explorer.page.wait_for_function(
        "() => /cancelled/.test(document.querySelector('.pipelab-status').innerText)", timeout=5_000
    )
    _, alive = psutil.wait_procs(ranks, timeout=2)
    assert len(alive) <= 1  # the helper that starts ranks stays warm
    assert explorer.complaints() == []


def test_a_cell_run_again_ends_the_run_that_its_earlier_explorer_began(explorer: Notebook, own_lab: Lab) -> None:
    explorer.click(".pipelab-run")
    explorer.page.wait_for_function(
        "() => /rank 0: \\d/.test(document.querySelector('.pipelab-status').innerText)", timeout=60_000
    )
    ranks = own_lab.processes_of_kernels()
    explorer.page.evaluate(
        """() => { const {content} = window.jupyterapp.shell.currentWidget;
            content.activeCellIndex = 0; window.jupyterapp.commands.execute('notebook:run-cell'); }"""
    )
    _, alive = psutil.wait_procs(ranks, timeout=5)
    assert len(alive) <= 1  # the helper that starts ranks stays warm
    explorer.wait_idle()
    assert explorer.complaints() == []


def test_it_is_readable_in_a_dark_theme(explorer: Notebook) -> None:
    explorer.press("Micro-batches", "Home")
    explorer.page.evaluate(
        "() => window.jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})"
    )
    explorer.page.wait_for_function("() => document.body.dataset.jpThemeName === 'JupyterLab Dark'", timeout=10_000)
    explorer.page.wait_for_timeout(1000)
    ink, ground = explorer.page.evaluate(
        """() => [getComputedStyle(document.querySelector('.pipelab-predicted svg text')).fill,
                  getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor]
            .map(text => Math.max(...text.match(/[\\d.]+/g).slice(0, 3).map(Number)))"""
    )
    explorer.screenshot(ARTEFACTS / "explorer_dark.png", ".pipelab-explorer")
    assert ink - ground > 100
