"""A real JupyterLab and a real Chromium for tests: open a notebook, run it, move a slider, press a button, look.

    with Lab(folder) as lab, Browser(chromium) as browser:
        notebook = browser.open(lab, "03_1f1b.ipynb")
        notebook.run_all()
        notebook.press("Micro-batches", "ArrowRight", times=3)

Nothing here waits for some length of time in the hope that something is over by then: every wait is for a condition,
so a slow machine makes a test slow, not wrong.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page, TimeoutError as PlaywrightTimeout, sync_playwright

from tests.browser.lab import Lab

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    # A page that nobody looks at must not be slowed down.
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
OPENED = """() => { const widget = window.jupyterapp?.shell.currentWidget, session = widget?.sessionContext;
    return !!(widget?.content?.widgets && widget.context.isReady && session.isReady
              && session.session?.kernel?.status === 'idle'); }"""
# What widgets have sent to the kernel and is not answered in full. A kernel's last word on a message is that it is
# idle, and the page comes to that word only when it has shown everything before it: by then a slider's picture is
# drawn. Widgets hold a newer value back until that word; it is sent before the signal heard here, so it counts, too.
# (Asking the kernel something else tells nothing: widgets' messages may go to a subshell, with a queue of its own.)
LISTEN = """() => { const { session } = window.jupyterapp.shell.currentWidget.sessionContext, sent = new Set();
    window.unanswered = sent;
    session.anyMessage.connect((_, { msg, direction }) => {
        if (direction === 'send' && msg.header.msg_type.startsWith('comm_')) sent.add(msg.header.msg_id); });
    session.iopubMessage.connect((_, msg) => {
        if (msg.header.msg_type === 'status' && msg.content.execution_state === 'idle')
            sent.delete(msg.parent_header.msg_id); }); }"""
RUN = """command => { window.running = true;
    window.jupyterapp.commands.execute('notebook:' + command).finally(() => window.running = false); }"""
# What the page still waits for: '' for nothing. Cells count as running until Lab says so and no prompt shows [*].
WAITS_FOR = """() => {
    const widget = window.jupyterapp.shell.currentWidget, status = widget.sessionContext.session?.kernel?.status;
    if (status === 'dead' || status === 'autorestarting') return 'dead';
    const seen = css => [...widget.node.querySelectorAll(css)].map(element => element.textContent);
    if (window.running || seen('.jp-InputPrompt').some(text => text.includes('*'))) return 'cells that run';
    if (window.unanswered.size) return `the kernel's answer to ${window.unanswered.size} messages of widgets`;
    if (seen('.jp-OutputArea-output').some(text => /^Loading widget/.test(text))) return 'widgets that load';
    return status === 'idle' ? '' : `a kernel that is ${status}`; }"""
COMPLAINTS = r"""() => {
    const found = [], say = (i, text) => found.push(`cell ${i}: ` + text.replace(/\x1b\[[\d;]*m/g, ''));
    window.jupyterapp.shell.currentWidget.content.widgets.forEach((cell, i) => {
        if (cell.model.type !== 'code') return;
        const { outputs, execution_count, source } = cell.model.toJSON();
        if (String(source).trim() && !execution_count) say(i, 'did not run');
        for (const o of outputs) {
            if (o.output_type === 'error') say(i, `${o.ename}: ${o.evalue}\n${o.traceback.join('\n')}`);
            if (o.name === 'stderr') say(i, 'on stderr: ' + [o.text].flat().join('')); }
        for (const e of cell.node.querySelectorAll('.jp-OutputArea-output'))
            if (/Error displaying widget|Loading widget|Failed to load model|where it came from/.test(e.textContent))
                say(i, e.textContent.slice(0, 200)); });
    return found; }"""


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome: $CHROMIUM, the system's, or the one of `playwright install chromium`."""
    names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
    macs = [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in ("Google Chrome", "Chromium")]
    for name in [os.environ.get("CHROMIUM"), *names, *macs]:
        if name and (path := shutil.which(name)):
            return path
    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if Path(path).exists() else None


class Browser:
    """A headless Chromium, for the length of a `with`. It reaches nothing but this machine."""

    def __init__(self, executable: str) -> None:
        self.executable = executable

    def __enter__(self) -> Browser:
        self._playwright = sync_playwright().start()
        self._chromium = self._playwright.chromium.launch(executable_path=self.executable, args=CHROMIUM_FLAGS)
        return self

    def __exit__(self, *error: object) -> None:
        self._chromium.close()
        self._playwright.stop()

    def open(self, lab: Lab, path: str) -> Notebook:
        """The notebook at that path below Lab's folder, open and with an idle kernel."""
        page = self._chromium.new_page(viewport={"width": 1400, "height": 1000})
        return Notebook(page, f"{lab.url}/lab/tree/{path}?reset&token={lab.token}")


class Notebook:
    """One notebook open in Lab. `page` is Playwright's, for whatever is missing here."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.within = "body"  # CSS selector: where sliders are looked for
        self.seconds = 0.0  # that run_all took
        self.outside: list[str] = []  # addresses beyond this machine that the page asked for
        page.on("request", self._note_outside)
        page.goto(url, wait_until="domcontentloaded")
        page.wait_for_function(OPENED, timeout=120_000)
        page.evaluate(LISTEN)
        page.evaluate("() => window.jupyterapp.shell.collapseLeft()")

    def _note_outside(self, request: Any) -> None:
        if re.match(r"(https?|wss?)://(?!127\.0\.0\.1[:/])", request.url):
            self.outside.append(request.url)

    def close(self) -> None:
        self.page.close()

    def run_all(self, timeout: float = 240) -> None:
        """Run > Run All Cells, and wait for the end."""
        begin = time.monotonic()
        self.page.evaluate(RUN, "run-all-cells")
        self.settle(timeout)
        self.seconds = time.monotonic() - begin

    def run_cell(self, index: int, timeout: float = 60) -> None:
        """Run one cell, and wait for the end."""
        self.page.evaluate("i => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = i; }", index)
        self.page.evaluate(RUN, "run-cell")
        self.settle(timeout)

    def settle(self, timeout: float = 60) -> None:
        """Wait until all cells have run, and the kernel has answered all that widgets said, and the page shows it."""
        self.wait(f"() => ['', 'dead'].includes(({WAITS_FOR})())", timeout, WAITS_FOR)
        if self.page.evaluate(WAITS_FOR) == "dead":
            raise RuntimeError("the kernel died")

    def wait(self, condition: str, timeout: float = 60, explain: str = "() => ''", arg: Any = None) -> None:
        """Wait until the JavaScript function `condition` returns true; `explain` is one that says what is amiss."""
        try:
            self.page.wait_for_function(condition, arg=arg, timeout=timeout * 1000)
        except PlaywrightTimeout:
            amiss = self.page.evaluate(explain) or condition
            raise TimeoutError(f"after {timeout} s the page still waits for {amiss}") from None

    def content(self) -> nbformat.NotebookNode:
        """The notebook as it would be saved, with the outputs that it has now."""
        return nbformat.from_dict(
            self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.model.toJSON()")
        )

    def complaints(self) -> list[str]:
        """Errors, text on stderr, cells that did not run and widgets that do not show, with their cell's number."""
        return self.page.evaluate(COMPLAINTS)

    def slider(self, description: str) -> Locator:
        """The handle of the first ipywidgets slider with that description; it takes the focus and arrow keys."""
        label = self.page.locator(".widget-label", has_text=re.compile(rf"^\s*{re.escape(description)}\s*$"))
        return self.page.locator(f"{self.within} .widget-slider").filter(has=label).locator(".noUi-handle").first

    def sliders(self) -> list[str]:
        """The descriptions of all ipywidgets sliders, disabled ones left out."""
        return self.page.locator(f"{self.within} .widget-slider:not(:has([disabled])) .widget-label").all_inner_texts()

    def press(self, description: str, key: str, times: int = 1) -> None:
        """Press a key on a slider, in rapid succession, and wait until the page shows the answer to the last."""
        handle = self.slider(description)
        handle.scroll_into_view_if_needed()
        handle.focus()
        for _ in range(times):
            self.page.keyboard.press(key)
        self.settle()

    def value(self, description: str) -> float:
        """The slider's value as the page has it."""
        return float(self.slider(description).get_attribute("aria-valuenow") or "nan")

    def has(self, css: str) -> bool:
        """Whether something that the CSS selector names is in the page."""
        return self.page.locator(css).count() > 0

    def click(self, css: str) -> None:
        """Click on the first element that the CSS selector names, and wait until the page shows what the kernel says.

        What the kernel does from then on in a thread, such as a run, goes on.
        """
        self.page.locator(css).first.click(timeout=30_000)
        self.settle()

    def wait_enabled(self, css: str, timeout: float = 180) -> None:
        """Wait until the first button that the CSS selector names can be pressed (again)."""
        self.page.wait_for_function(
            "css => { const button = document.querySelector(css); return button && !button.disabled; }",
            arg=css,
            timeout=timeout * 1000,
        )

    def picture(self, within: str, timeout: float = 60) -> str:
        """The source of the first svg within what the CSS selector names; waits for it to appear."""
        svg = self.page.locator(f"{within} svg").first
        svg.wait_for(timeout=timeout * 1000)
        return svg.evaluate("element => element.outerHTML")

    def shows(self, within: str) -> str:
        """Short, but different for any other pictures and tables: the first words, and a hash of all there is.

        The layers over pictures are left out, for some of them come by themselves once sliders rest.
        """
        words, markup = self.page.locator(within).first.evaluate(
            """element => {
                const all = [...element.querySelectorAll('.widget-html-content')];
                const own = all.filter(each => !each.closest('.pipelab-over'));
                return [own.map(each => each.innerText).join(' '), own.map(each => each.innerHTML).join('')]; }"""
        )
        return f"{words.strip()[:60]} ({hashlib.sha256(markup.encode()).hexdigest()[:12]})"

    def screenshot(self, file: Path, of: str | None = None) -> None:
        """A picture (PNG) of the window, or of the first element that the CSS selector names."""
        file.parent.mkdir(parents=True, exist_ok=True)
        (self.page.locator(of).first if of else self.page).screenshot(path=file)
