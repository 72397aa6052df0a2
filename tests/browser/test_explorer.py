"""The explorer in a real browser: pointing explains, time can be played, Cancel ends ranks while the kernel answers."""

import time
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.lab import Lab
from tests.browser.page import Browser, Notebook

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
# [contrast, text] of every text of the explorer's own; Lab's buttons and what is disabled are left out.
CONTRASTS = """() => {
    const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
    const rgba = colour => {
        paint.clearRect(0, 0, 1, 1);
        paint.fillStyle = colour;
        paint.fillRect(0, 0, 1, 1);
        return [...paint.getImageData(0, 0, 1, 1).data]; };
    const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => (c * a + below[i] * (255 - a)) / 255);
    const linear = c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const luminance = rgb => rgb.reduce((sum, c, i) => sum + [0.2126, 0.7152, 0.0722][i] * linear(c / 255), 0);
    const page = rgba(getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor).slice(0, 3);
    const under = (element, x, y) => {  // the colour of all that lies below the element, painted from the bottom
        const stack = document.elementsFromPoint(x, y);
        return stack.slice(stack.indexOf(element) + 1).reverse().reduce((below, each) => {
            const style = getComputedStyle(each);
            const fill = each instanceof SVGGeometryElement ? style.fill : style.backgroundColor;
            return /none|url/.test(fill) ? below : over(rgba(fill), below); }, page); };
    const found = [], own = document.querySelector('.pipelab-explorer');
    const texts = document.createTreeWalker(own, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const text = texts.currentNode.data.trim(), element = texts.currentNode.parentElement;
        if (!text || element.closest('style, button, option, [disabled], .pipelab-hover')) continue;
        element.scrollIntoView({ block: 'center' });
        const box = element.getBoundingClientRect(), style = getComputedStyle(element);
        if (!box.width || style.visibility !== 'visible') continue;
        const below = under(element, box.x + box.width / 2, box.y + box.height / 2);
        const ink = over(rgba(element instanceof SVGElement ? style.fill : style.color), below);
        const [low, high] = [luminance(ink), luminance(below)].sort((one, other) => one - other);
        found.push([(high + 0.05) / (low + 0.05), text]); }
    return found; }"""
EXPLORE = "explore_schedule('1f1b', ranks=4, microbatches=8, against='gpipe', unit_ms=50)"
CELLS = [f"from pipelab.show import explore_schedule\n{EXPLORE}", "1 + 1"]

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


def wait_shown(explorer: Notebook, text: str) -> None:
    """Wait until hovering shows this, and nothing else."""
    shown = """[...document.querySelectorAll('.pipelab-hover text')]
        .filter(e => e.getClientRects().length).map(e => e.textContent)"""
    explorer.wait(f"text => JSON.stringify({shown}) === JSON.stringify([text])", 20, f"() => {shown}", text)


def test_pointing_at_an_action_tells_what_it_needed_and_unblocked(explorer: Notebook) -> None:
    point(explorer, 1, 15 / 33)
    wait_shown(explorer, "1B2 on rank 1, from 14 to 16 · needed 1F2, 2B2 (rank 2) · unblocked 0B2 (rank 0)")
    explorer.screenshot(ARTEFACTS / "explorer_action.png", ".pipelab-explorer")


def test_pointing_at_a_gap_tells_why_it_is_there(explorer: Notebook) -> None:
    point(explorer, 0, 7 / 33)
    wait_shown(explorer, "rank 0 waits for 1B0 from rank 1, from 4 to 10")


def test_the_layers_lie_exactly_on_the_picture(explorer: Notebook) -> None:
    boxes = [explorer.page.locator(css).first.bounding_box() for css in (".pipelab-hover", ".pipelab-predicted svg")]
    assert boxes[0] == boxes[1]


def test_time_can_be_moved_and_played(explorer: Notebook) -> None:
    explorer.press("Time", "ArrowRight", times=20)
    assert explorer.has(".pipelab-cursor")
    before = explorer.page.locator(".pipelab-state").first.inner_text()
    assert "rank 3" in before
    explorer.page.locator(".widget-play button").first.click()
    moved = "before => document.querySelector('.pipelab-state').innerText !== before"
    explorer.wait(moved, arg=before)
    explorer.page.locator(".widget-play button").first.click()
    explorer.settle()
    explorer.screenshot(ARTEFACTS / "explorer_time.png", ".pipelab-explorer")
    explorer.press("Time", "Home")
    assert not explorer.has(".pipelab-cursor")


def start_run(explorer: Notebook, lab: Lab) -> set[psutil.Process]:
    """Press Run, wait until rank 0 is at work, and give all processes; the run goes on for half a minute and more."""
    explorer.click(".pipelab-run")
    explorer.wait("() => /rank 0: \\d/.test(document.querySelector('.pipelab-status').innerText)", 90)
    ranks = lab.processes_of_kernels()
    assert len(ranks) >= 4
    return ranks


def left_of(ranks: set[psutil.Process], most: int, timeout: float = 20) -> list[psutil.Process]:
    """Those that are alive once that many are left, or once the time is over: well before the run would end."""
    alive, end = [*ranks], time.monotonic() + timeout
    while len(alive) > most and time.monotonic() < end:
        alive = psutil.wait_procs(alive, timeout=0.1)[1]
    return alive


def test_cancel_ends_the_ranks_while_the_kernel_answers(explorer: Notebook, own_lab: Lab) -> None:
    explorer.press("Micro-batches", "End")
    ranks = start_run(explorer, own_lab)
    explorer.run_cell(1)
    assert explorer.page.locator(".pipelab-cancel").is_enabled(), "the kernel answered only when the run was over"
    explorer.click(".pipelab-cancel")
    explorer.wait("() => /cancelled/.test(document.querySelector('.pipelab-status').innerText)")
    assert len(left_of(ranks, 1)) == 1, "only the helper that starts ranks stays, warm"
    assert explorer.complaints() == []


def test_a_cell_run_again_ends_the_run_that_its_earlier_explorer_began(explorer: Notebook, own_lab: Lab) -> None:
    ranks = start_run(explorer, own_lab)
    explorer.run_cell(0)
    assert len(left_of(ranks, 1)) == 1, "only the helper that starts ranks stays, warm"
    assert explorer.complaints() == []


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_every_text_is_legible_in_both_themes(explorer: Notebook, theme: str) -> None:
    """At least WCAG's AA: a contrast of 4.5 between each text and what lies under it. A cursor's veil isn't counted."""
    explorer.press("Micro-batches", "Home")
    explorer.press("Micro-batches", "ArrowRight", times=5)
    explorer.press("Time", "ArrowRight", times=20)
    explorer.page.evaluate("theme => window.jupyterapp.commands.execute('apputils:change-theme', { theme })", theme)
    dark = "getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor.match(/\\d+/)[0] < 128"
    explorer.wait(f"theme => document.body.dataset.jpThemeName === theme && ({dark}) === /Dark/.test(theme)", arg=theme)
    explorer.screenshot(ARTEFACTS / f"explorer_{theme.split()[1].lower()}.png", ".pipelab-explorer")
    contrasts = explorer.page.evaluate(CONTRASTS)
    assert len(contrasts) > 60
    assert [each for each in contrasts if each[0] < 4.5] == []
