"""Pictures and widgets. Nothing else in pipelab imports matplotlib or ipywidgets, and this room only where it must."""

import os
from functools import partial
from typing import Any

from ..lazy import attach

_load, __dir__, __all__ = attach(__name__, __file__)


def __getattr__(name: str) -> Any:
    if "PIPELAB_ON_RANK" in os.environ and name in __all__ and name != "Table":
        return partial(_draw_later, name)
    return _load(name)


def _draw_later(name: str, *args: Any, **kwargs: Any) -> Any:
    """On a rank, a name that draws imports matplotlib when it is called, not when a module asks for the name.

    A stage's module may say ``from pipelab import *``, or import what it draws with at home. No rank draws, and each
    would wait for the import: seconds, on a few cores.
    """
    return _load(name)(*args, **kwargs)
