"""pipelab: how large models are trained across GPUs.

A schedule is data: check it, simulate it, draw it, run it on real ranks.
"""

import os
import warnings
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Where each public name lives. A room is imported when a name of it is first used: torch and matplotlib take seconds.
_ROOMS = {
    "ir": (
        "Action",
        "Placement",
        "Problem",
        "Schedule",
        "ScheduleError",
        "check",
        "forward_only",
        "from_csv",
        "lower",
        "to_csv",
    ),
    "schedules": (
        "SCHEDULES",
        "build",
        "dualpipe",
        "dualpipe_v",
        "gpipe",
        "interleaved_1f1b",
        "naive",
        "one_f_one_b",
        "theory",
        "zb_h1",
        "zb_h2",
        "zb_v",
    ),
    "timeline": ("Span", "Timeline", "from_chrome_trace", "to_chrome_trace"),
    "profiler": ("Profile", "load_profile"),
    "eplb": ("Plan", "rebalance", "rebalance_experts"),
    "simulator": ("Costs", "simulate"),
    "study": ("compare_schedules", "estimate_step"),
    "ranks": ("Ranks", "examine"),
    "autograd": ("SplitBackward",),
    "runtime": ("Run", "run"),
    "show": (
        "compare",
        "explore_schedule",
        "explore_balance",
        "explore_comparison",
        "explore_overlap",
        "explore_serving",
        "explore_estimate",
        "plot",
        "plot_curves",
        "plot_memory",
        "plot_plan",
        "plot_profile",
        "plot_rebalancing",
        "plot_serving",
    ),
    "table": ("Table",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

#: Names of 0.1.0 that lessons and the README have shown, and what they are called now.
_RENAMED = {
    "comparison": "compare_schedules",
    "explore": "explore_schedule",
    "explore_costs": "explore_comparison",
    "explore_hiding": "explore_overlap",
    "explore_step": "explore_estimate",
}

__all__ = list(_ROOM_OF)

if TYPE_CHECKING:
    from .autograd import SplitBackward
    from .eplb import Plan, rebalance, rebalance_experts
    from .ir import Action, Placement, Problem, Schedule, ScheduleError, check, forward_only, from_csv, lower, to_csv
    from .profiler import Profile, load_profile
    from .ranks import Ranks, examine
    from .runtime import Run, run
    from .schedules import SCHEDULES, build, theory
    from .schedules.dualpipe import dualpipe
    from .schedules.dualpipe_v import dualpipe_v
    from .schedules.gpipe import gpipe
    from .schedules.interleaved import interleaved_1f1b
    from .schedules.naive import naive
    from .schedules.one_f_one_b import one_f_one_b
    from .schedules.zb_h1 import zb_h1
    from .schedules.zb_h2 import zb_h2
    from .schedules.zb_v import zb_v
    from .show import (
        compare,
        explore_balance,
        explore_comparison,
        explore_estimate,
        explore_overlap,
        explore_schedule,
        explore_serving,
        plot,
        plot_curves,
        plot_memory,
        plot_plan,
        plot_profile,
        plot_rebalancing,
        plot_serving,
    )
    from .simulator import Costs, simulate
    from .study import compare_schedules, estimate_step
    from .table import Table
    from .timeline import Span, Timeline, from_chrome_trace, to_chrome_trace


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        new = _RENAMED[name]
        warnings.warn(f"pipelab.{name} is now pipelab.{new}", DeprecationWarning, stacklevel=2)
        return getattr(import_module(__name__), new)
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'pipelab' has no attribute {name!r}")
    if _ROOM_OF[name] == "show" and "PIPELAB_ON_RANK" in os.environ:
        return partial(_draw_later, name)
    return getattr(import_module(f".{_ROOM_OF[name]}", __name__), name)


def _draw_later(name: str, *args: Any, **kwargs: Any) -> Any:
    """On a rank, a name that draws imports matplotlib when it is called, not when a module asks for the name.

    A stage's module may say ``from pipelab import *``, or import what it draws with at home. No rank draws, and each
    would wait for the import: seconds, on a few cores.
    """
    return getattr(import_module(".show", __name__), name)(*args, **kwargs)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
