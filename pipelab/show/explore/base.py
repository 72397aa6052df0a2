"""What every explorer is: widgets that follow their controls, a static picture, and a run on real ranks."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets as widgets

from ..backends.picture import Picture
from .experiment import Experiment, error_html

WIDE: dict[str, Any] = {"layout": widgets.Layout(width="370px"), "style": {"description_width": "150px"}}


class Explorer(widgets.VBox):
    """A column of widgets that is drawn again whenever one of its controls moves, under one lock.

    A subclass calls `__init__`, makes its widgets, and gives them to `fill`. It draws itself in `draw`. Where it has a
    button for real ranks, `settings` says what a run depends on, and `job` gives what is to be run.

    experiment: the button and what belongs to it;  result: what the last run showed, or None
    """

    experiment: Experiment
    picture: widgets.HTML
    settings: Any = None
    result: Any = None
    ran: Any = None  # the settings of that run

    def __init__(self, name: str) -> None:
        super().__init__()
        self.add_class(f"pipelab-{name}")
        self.lock, self.busy = threading.RLock(), False
        if type(self).job is not Explorer.job:
            self.experiment = Experiment(self._run, self._finished)

    def fill(self, children: Sequence[widgets.Widget], controls: Iterable[widgets.Widget]) -> None:
        """Show these widgets, and follow those of them that are controls."""
        self.children = tuple(children)
        self.changed()
        for control in controls:
            control.observe(self.changed, "value")

    def changed(self, change: Any = None) -> None:
        """Draw again. Controls that the drawing itself moves start no second drawing."""
        with self.lock:
            if self.busy:
                return
            self.busy = True
            try:
                self.draw(change)
            except Exception as error:
                if change is None:
                    raise
                self.fail(error_html(error))  # it would reach no cell
            finally:
                self.busy = False

    def draw(self, change: Any) -> None:
        """Show what the controls stand for. change: what has moved; None at first, and after a run."""
        raise NotImplementedError

    def fail(self, markup: str) -> None:
        """Show an exception in the picture's place."""
        self.picture.value = markup

    # -- running -----------------------------------------------------------------------------------------------------

    @property
    def fresh(self) -> Any:
        """The last run's result, or None if the controls have moved since."""
        return self.result if self.result is not None and self.ran == self.settings else None

    def job(self) -> Callable[..., Any]:
        """What the button runs: a function of progress and cancel."""
        raise NotImplementedError

    def _run(self, **given: Any) -> Any:
        with self.lock:
            self.starting, job = self.settings, self.job()
        return job(**given)

    def _finished(self, result: Any) -> None:
        with self.lock:
            self.result, self.ran = result, self.starting
            if self.fresh is None:
                self.experiment.status.value = "the controls have moved on: run it again"
            self.changed()

    def close(self) -> None:
        """Cancel a run that is under way, and take the widget away."""
        if hasattr(self, "experiment"):  # not every widget has one, nor one that a wrong argument has left half made
            self.experiment.stop()
        super().close()

    # -- where no kernel is ------------------------------------------------------------------------------------------

    def still(self) -> Picture | str | None:
        """A picture, or markup such as a table, of what it shows now; None where there is nothing to show."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = dict(super()._repr_mimebundle_(**kwargs) or {})
        bundle["text/plain"] = repr(self)
        still = self.still()
        if isinstance(still, str):
            bundle["text/html"] = still
        elif still is not None:
            bundle["image/png"] = base64.b64encode(still.png()).decode()
        return bundle


def row(*shown: widgets.Widget) -> widgets.Box:
    """Widgets beside each other, as far as there is room."""
    return widgets.Box(shown, layout=widgets.Layout(display="flex", flex_flow="row wrap", align_items="center"))


def html(name: str) -> widgets.HTML:
    """A place for markup, of the CSS class pipelab-name."""
    return widgets.HTML(layout=widgets.Layout(margin="0 2px")).add_class(f"pipelab-{name}")


def slider(text: str, value: float, least: float, most: float, step: float = 1, **given: Any) -> Any:
    """A slider of whole numbers, or of others where its step is a float."""
    kind = widgets.IntSlider if isinstance(step, int) else widgets.FloatSlider
    return kind(value=value, min=least, max=most, step=step, description=text, **{**WIDE, **given})


def choice(text: str, options: Iterable[Any], value: Any = None, **given: Any) -> widgets.Dropdown:
    """A choice of these options, by default the first."""
    if value is not None:
        given["value"] = value
    return widgets.Dropdown(options=list(options), description=text, **WIDE, **given)


def player(text: str, most: int, interval: int, **given: Any) -> tuple[widgets.Play, widgets.IntSlider, Any]:
    """Play buttons, the slider that they move, and what links the two."""
    layout, style = widgets.Layout(width="460px"), {"description_width": "40px"}
    moved = slider(text, 0, 0, most, layout=layout, style=style, **given)
    play = widgets.Play(max=most, interval=interval)
    return play, moved, widgets.jslink((play, "value"), (moved, "value"))
