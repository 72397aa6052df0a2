"""The harness sees what a reader would see: pictures that change, and cells that fail."""

from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.browser.lab import Lab
from tests.browser.page import Browser, Notebook

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

EXPLORE = """import ipywidgets, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
slider = ipywidgets.IntSlider(8, 1, 12, description="Micro-batches")
button = ipywidgets.Button(description="Run").add_class("run")
predicted, measured = (ipywidgets.HTML().add_class(name) for name in ("predicted", "measured"))

def draw(change):
    predicted.value = f'<svg width="200" height="20"><rect width="{change.new * 9}" height="20"/></svg>'

slider.observe(draw, "value")
button.on_click(lambda _: setattr(measured, "value", predicted.value))
ipywidgets.VBox([slider, button, predicted, measured])"""


def save(folder: Path, name: str, *cells: str) -> None:
    nbformat.write(new_notebook(cells=[new_code_cell(cell) for cell in cells]), folder / name)


@pytest.fixture(scope="module")
def own_lab(tmp_path_factory: pytest.TempPathFactory, browser: Browser):
    folder = tmp_path_factory.mktemp("lab")
    save(folder, "good.ipynb", EXPLORE)
    save(folder, "slow.ipynb", EXPLORE.replace("    predicted.value", "    time.sleep(1)\n    predicted.value", 1))
    save(folder, "bad.ipynb", "import sys; print('hm', file=sys.stderr)", "1 / 0", "print('never')")
    with Lab(folder) as lab:
        yield lab


def test_slider_button_and_restart(browser: Browser, own_lab: Lab) -> None:
    notebook: Notebook = browser.open(own_lab, "good.ipynb")
    notebook.run_all()
    assert notebook.complaints() == []
    assert notebook.outside == []
    notebook.press("Micro-batches", "ArrowRight")
    assert notebook.value("Micro-batches") == 9
    assert 'width="81"' in notebook.picture(".predicted")
    notebook.press("Micro-batches", "ArrowLeft", times=15)
    assert 'width="9"' in notebook.picture(".predicted")
    notebook.click(".run")
    assert 'width="9"' in notebook.picture(".measured")
    children = own_lab.processes_of_kernels()
    assert len(children) == 1
    own_lab.restart_kernels()
    assert psutil.wait_procs(children, timeout=60)[1] == []  # its stdin was closed
    notebook.close()


def test_a_slow_answer_is_waited_for(browser: Browser, own_lab: Lab) -> None:
    """Longer than any pause in the messages: the kernel sleeps over each of the slider's values, as a busy one does."""
    notebook = browser.open(own_lab, "slow.ipynb")
    notebook.run_all()
    for key, width in (("ArrowRight", 81), ("ArrowRight", 90), ("ArrowLeft", 81)):
        notebook.press("Micro-batches", key)
        assert f'width="{width}"' in notebook.picture(".predicted")
    notebook.press("Micro-batches", "ArrowLeft", times=4)
    assert 'width="45"' in notebook.picture(".predicted")
    notebook.close()


def test_complaints(browser: Browser, own_lab: Lab) -> None:
    notebook = browser.open(own_lab, "bad.ipynb")
    notebook.run_all()
    said = notebook.complaints()
    assert any("cell 0: on stderr: hm" in text for text in said)
    assert any("cell 1: ZeroDivisionError" in text for text in said)
    assert "cell 2: did not run" in said
    notebook.close()
