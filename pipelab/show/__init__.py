"""Pictures and widgets. Nothing else in pipelab imports matplotlib or ipywidgets, and this room only where it must."""

import os
from functools import partial
from typing import Any

from ..lazy import attach

#: What README.md and lessons of 0.1.0 have from here, and what it is called now.
RENAMED = {
    "plot_gains": "show.plot_savings",
    "plot_phases": "show.plot_segments",
    "step_through": "show.explore_algorithm",
}

_load, __dir__, __all__ = attach(__name__, __file__, renamed=RENAMED)


def __getattr__(name: str) -> Any:
    if "PIPELAB_ON_RANK" in os.environ and name in __all__ and name != "Table":
        return partial(_draw_later, name)
    return _load(name, level=3)  # a warning is for whoever asked


def _draw_later(name: str, *args: Any, **kwargs: Any) -> Any:
    """On a rank, a name that draws imports matplotlib when it is called, not when a module asks for the name.

    A stage's module may say ``from pipelab import *``, or import what it draws with at home. No rank draws, and each
    would wait for the import: seconds, on a few cores.
    """
    return _load(name)(*args, **kwargs)
