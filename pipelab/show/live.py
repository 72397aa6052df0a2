"""Live: what every widget of this room shares: a picture or a table for readers without a kernel, and a clean end."""

from __future__ import annotations

import base64
from typing import Any

import ipywidgets as widgets

from .picture import Picture


class Live(widgets.VBox):
    """A column of widgets. Its `repr` and its `still` stand in a notebook where no kernel makes it live."""

    def still(self) -> Picture | str | None:
        """A picture, or markup such as a table, of what it shows now; None where there is nothing to show."""
        return None

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
