"""Panel: one timeline's picture in a widget, with its layers: marks, a cursor in time, and what hovering shows."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import ipywidgets as widgets

from ...amounts import counted
from ...timeline import Timeline
from ..backends.svg import cursor_svg, timeline_svg
from .hover import hover_svg


class Panel(widgets.VBox):
    """A timeline's picture under transparent layers, each a widget of its own, so that none slows the others.

    name: the CSS class of the picture, with ``pipelab-`` before it.
    """

    def __init__(self, name: str) -> None:
        over = {"margin": "0", "height": "0", "overflow": "visible"}  # the layers take no room: they lie on the picture
        self.marks, self.cursor, self.layer = (
            widgets.HTML(layout=widgets.Layout(**over)).add_class("pipelab-over") for _ in range(3)
        )
        self.picture = widgets.HTML(layout=widgets.Layout(margin="0")).add_class(f"pipelab-{name}")
        self.timeline: Timeline | None = None
        self.until: float | None = None
        layers = [self.marks, self.cursor, self.layer, self.picture]
        super().__init__(layers, layout=widgets.Layout(overflow="visible"))

    def show(self, timeline: Timeline, title: str, until: float | None = None, *, around: str = "{}") -> None:
        """Draw a timeline; until: the end of its time axis. `around` is markup in which {} stands for the picture."""
        self.timeline, self.until = timeline, until
        self._clear()
        peak = max(timeline.peak_activations, default=0)
        description = f"{title}; {counted(timeline.num_ranks, 'rank')}, at most {counted(peak, 'activation')} on one"
        picture = timeline_svg(timeline, title=title, description=description, until=until)
        self.picture.value = around.replace("{}", picture)

    def say(self, markup: str) -> None:
        """Show markup in the picture's place."""
        self.timeline = None
        self._clear()
        self.picture.value = markup

    def mark(self, markup: str) -> None:
        """Lay markup over the picture, until the next one is shown."""
        self.marks.value = _STYLE + markup

    def explain(self, lock: AbstractContextManager[Any]) -> None:
        """Lay over the picture what hovering shows. Takes longer than the picture: for when the sliders rest.

        lock: is held to lay it, but not to make it, so that a slider that moves again need not wait
        """
        with lock:
            timeline, until = self.timeline, self.until
        if timeline is None or self.layer.value:
            return
        markup = _STYLE + hover_svg(timeline, until)
        with lock:
            if self.timeline is timeline and self.until == until:
                self.layer.value = markup

    def point(self, share: float | None) -> None:
        """Put the cursor at this part of the time axis' length (0 to 1), or take it away."""
        if self.timeline is None or share is None:
            self.cursor.value = ""
            return
        time = share * (self.until or float(self.timeline.makespan))
        self.cursor.value = _STYLE + cursor_svg(self.timeline, min(time, float(self.timeline.makespan)), self.until)

    def _clear(self) -> None:
        for layer in (self.marks, self.cursor, self.layer):
            if layer.value:
                layer.value = ""


_STYLE = "<style>.pipelab-over{position:relative;z-index:1}</style>"
