"""The explorer in JupyterLab, in Chromium: how long from a key on a slider to new pixels, at 1000 to 3000 actions?

Needs Chromium, as the browser tests do. «after the last key»: 15 keys at 30 a second are held, and the picture changes
for the last time so long after the last of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median

import nbformat
from _table import Row, arguments, show
from nbformat.v4 import new_code_cell, new_notebook

from pipelab import build, simulate

sys.path.append(str(Path(__file__).parents[1]))
from tests.browser.lab import Lab
from tests.browser.page import Browser, Notebook, find_chromium

FIND = """const picture = document.querySelector('.pipelab-predicted'), handle = [...document.querySelectorAll(
    '.widget-slider')].find(slider => /Micro-batches/.test(slider.textContent)).querySelector('.noUi-handle');
    const press = key => handle.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
    const watch = whenever => { const observer = new MutationObserver(() => whenever(observer));
        observer.observe(picture, {childList: true, subtree: true, characterData: true}); };
    handle.focus();"""
PRESS = f"""key => new Promise(done => {{ {FIND}
    const began = performance.now();
    watch(observer => {{ observer.disconnect();
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - began))); }});
    press(key); }})"""
HOLD = f"""key => new Promise(async done => {{ {FIND}
    let changed = 0;
    watch(() => changed = performance.now());
    for (let i = 0; i < 15; i++) {{ press(key); await new Promise(go => setTimeout(go, 33)); }}
    const last = performance.now();
    setTimeout(() => done(changed - last), 1500); }})"""

SIZE = (16, 32)  # ranks and micro-batches
LIMITS_MS = {1100: 55, 2100: 70, 4000: 100}  # for so many actions


def measure(notebook: Notebook, schedule: str, repeats: int) -> Row:
    """One line of the table."""
    page = notebook.page
    page.locator(".pipelab-explorer select").first.select_option(schedule)
    notebook.settle()
    page.wait_for_timeout(1000)
    pixels = []
    for number in range(2 * repeats):
        pixels.append(page.evaluate(PRESS, "ArrowLeft" if number % 2 else "ArrowRight"))
        page.wait_for_timeout(300)
    held = []
    for _ in range(3):
        held.append(page.evaluate(HOLD, "ArrowRight"))
        notebook.press("Micro-batches", "ArrowLeft", times=15)
    actions = len(simulate(build(schedule, *SIZE)))
    return {
        "schedule": schedule,
        "actions": actions,
        "key to pixels, median ms": median(pixels),
        "longest ms": max(pixels),
        "limit ms": next(limit for most, limit in LIMITS_MS.items() if actions <= most),
        "after the last key, ms": max(0.0, *held),
        "its limit ms": 300,
    }


def main() -> None:
    options = arguments(__doc__, repeats=10)
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("needs Chromium or Chrome")
    with tempfile.TemporaryDirectory() as folder:
        code = f"import pipelab\nexplorer = pipelab.show.explore_schedule('1f1b', *{SIZE})\nexplorer"
        nbformat.write(new_notebook(cells=[new_code_cell(code)]), Path(folder, "slider.ipynb"))
        with Lab(Path(folder)) as lab, Browser(chromium) as browser:
            notebook = browser.open(lab, "slider.ipynb")
            notebook.run_all()
            names = notebook.page.locator(".pipelab-explorer select").first.locator("option").all_text_contents()
            rows = [measure(notebook, name, options.repeats) for name in names]
    show(options, rows, f"{SIZE[0]} ranks, {SIZE[1]} micro-batches; medians of {2 * options.repeats} keys")


if __name__ == "__main__":
    main()
