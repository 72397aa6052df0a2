"""A run on real ranks, in the background, with its button, progress and Cancel."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython

from ...ranks.errors import Cancelled

if TYPE_CHECKING:
    from ...ranks import Progress

WRONG = "#D55E00"


class Experiment:
    """A Run button, a Cancel button and a bar in `widgets`, and a line of text, `status`. One run at a time.

    start: what the button does, called in a thread with progress=, a callback, and cancel=, the event that Cancel sets
    done: called in that thread with what came of it

    A run ends when its cell is run again: by then the widget with its Cancel button is gone.
    """

    def __init__(self, start: Callable[..., Any], done: Callable[[Any], None]) -> None:
        self.start, self.done = start, done
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None
        self.cancelled = threading.Event()
        self.shell = get_ipython()
        try:
            self.cell = self.shell.get_parent()["metadata"]["cellId"]  # type: ignore[union-attr]
        except (AttributeError, KeyError, TypeError):  # no notebook, or one that doesn't tell
            self.cell = None
        wide = [widgets.Layout(width=width) for width in ("170px", "100px")]
        self.button = widgets.Button(
            description="Run on real ranks", icon="play", button_style="primary", layout=wide[0]
        ).add_class("pipelab-run")
        self.cancel = widgets.Button(description="Cancel", icon="stop", disabled=True, layout=wide[1])
        self.cancel.add_class("pipelab-cancel")
        self.bar = widgets.FloatProgress(max=1.0, layout=widgets.Layout(width="160px", display="none"))
        self.status = widgets.HTML().add_class("pipelab-status")
        self.button.on_click(lambda _: self.run())
        self.cancel.on_click(lambda _: self.stop())
        self.widgets = [self.button, self.cancel, self.bar]

    def run(self) -> None:
        """Start a run, unless one is under way."""
        with self.lock:
            if self.running:
                return
            self.cancelled = threading.Event()
            # A daemon: the ranks end with the kernel, whatever this thread is waiting for.
            self.thread = threading.Thread(target=self._work, name="pipelab run", daemon=True)
            self._busy(True)
            self.status.value = "starting ranks … (the first time takes some seconds: torch is being imported)"
            self.thread.start()

    def stop(self) -> None:
        """Cancel the run that is under way; its ranks are gone a moment later."""
        self.cancelled.set()
        if self.running:
            self.status.value = "stopping …"

    @property
    def running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of the run that is under way: for tests and scripts."""
        if self.thread is not None:
            self.thread.join(timeout)

    def _busy(self, busy: bool) -> None:
        self.button.disabled, self.cancel.disabled = busy, not busy
        self.bar.value = 0.0
        self.bar.layout.display = None if busy else "none"
        if self.shell is not None and self.cell is not None:
            (self.shell.events.register if busy else self.shell.events.unregister)("pre_run_cell", self._cell_runs)

    def _cell_runs(self, info: Any) -> None:
        if info.cell_id == self.cell:
            self.stop()

    def _progress(self, progress: Progress) -> None:
        if self.cancelled.is_set():
            return
        self.bar.value = progress.fraction
        where = " · ".join(f"rank {rank}: {escape(at)}" for rank, at in enumerate(progress.where[:8]))
        self.status.value = f'<span style="font-size:12px">{where}{" · …" if len(progress.where) > 8 else ""}</span>'

    def _work(self) -> None:
        try:
            result = self.start(progress=self._progress, cancel=self.cancelled)
            self.status.value = ""
            self.done(result)
        except Cancelled as cancelled:
            self.status.value = escape(str(cancelled))
        except BaseException as error:  # nothing else would ever show it
            self.status.value = error_html(error)
        finally:
            self._busy(False)


def error_html(error: BaseException) -> str:
    """An exception for a reader: its message, and where it came from, to unfold."""
    notes = getattr(error, "__notes__", [])
    details = "\n".join(notes) if notes else "".join(traceback.format_exception(error))
    return (
        f'<div style="border-left:4px solid {WRONG};padding:2px 12px;line-height:1.4"><b>{type(error).__name__}</b>: '
        f'<span style="white-space:pre-wrap">{escape(str(error))}</span><details><summary>where it came from</summary>'
        f'<pre style="font-size:11px;overflow:auto">{escape(details)}</pre></details></div>'
    )
