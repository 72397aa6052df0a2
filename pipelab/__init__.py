"""pipelab: how large models are trained across GPUs.

A schedule is data: check it, simulate it, draw it, run it on real ranks. The front door's names are listed in
`__init__.pyi`; a room is imported when a name of it is first used, as torch and matplotlib take seconds.
"""

import os
import warnings
from functools import partial
from importlib import import_module
from typing import Any

from .lazy import attach

__version__ = "0.1.0"

#: Names of 0.1.0 that lessons and the README have shown, and what they are called now.
RENAMED = {
    "comparison": "compare_schedules",
    "explore": "explore_schedule",
    "explore_costs": "explore_comparison",
    "explore_hiding": "explore_overlap",
    "explore_step": "explore_estimate",
}

_load, __dir__, __all__ = attach(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name in RENAMED:
        warnings.warn(f"pipelab.{name} is now pipelab.{RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = RENAMED[name]
    if "PIPELAB_ON_RANK" in os.environ and name in import_module(".show", __name__).__all__:
        return partial(_draw_later, name)
    return _load(name)


def _draw_later(name: str, *args: Any, **kwargs: Any) -> Any:
    """On a rank, a name that draws imports matplotlib when it is called, not when a module asks for the name.

    A stage's module may say ``from pipelab import *``, or import what it draws with at home. No rank draws, and each
    would wait for the import: seconds, on a few cores.
    """
    return _load(name)(*args, **kwargs)
