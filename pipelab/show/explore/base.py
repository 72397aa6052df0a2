"""Live: what every widget of this room shares: a picture or a table for readers without a kernel, and a clean end."""

from __future__ import annotations

import base64
import weakref
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
from IPython.core.getipython import get_ipython

from ..backends.picture import Picture

if TYPE_CHECKING:
    from .experiment import Experiment

_last: dict[str, weakref.ref[Live]] = {}  # of each cell, the widget with an experiment


class Live(widgets.VBox):
    """A column of widgets. Its `repr` and its `still` stand in a notebook where no kernel makes it live.

    experiment  the button for real ranks and what belongs to it, of widgets that have one
    """

    experiment: Experiment

    def still(self) -> Picture | str | None:
        """A picture, or markup such as a table, of what it shows now; None where there is nothing to show."""
        return None

    def take_the_place_of_the_last(self) -> None:
        """Cancel the run of the widget that this cell showed before: it has no Cancel button any more."""
        try:
            cell = get_ipython().get_parent()["metadata"]["cellId"]  # type: ignore[union-attr]
        except (AttributeError, KeyError, TypeError):  # no notebook, or one that doesn't tell
            return
        earlier = _last[cell]() if cell in _last else None
        if earlier is not None:
            earlier.experiment.stop()
        _last[cell] = weakref.ref(self)

    def close(self) -> None:
        """Cancel a run that is under way, and take the widget away."""
        if hasattr(self, "experiment"):  # not every widget has one, nor one that a wrong argument has left half made
            self.experiment.stop()
        super().close()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = dict(super()._repr_mimebundle_(**kwargs) or {})
        bundle["text/plain"] = repr(self)
        still = self.still()
        if isinstance(still, str):
            bundle["text/html"] = still
        elif still is not None:
            bundle["image/png"] = base64.b64encode(still.png()).decode()
        return bundle
