"""pipelab: how large models are trained across GPUs.

A schedule is data: check it, simulate it, draw it, run it on real ranks.
"""

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
        "zb_h1",
        "zb_h2",
        "zb_v",
    ),
    "timeline": ("Profile", "Span", "Timeline", "from_chrome_trace", "load_profile", "to_chrome_trace"),
    "eplb": ("Plan", "rebalance", "rebalance_experts"),
    "simulate": ("Costs", "comparison", "estimate_step", "simulate", "theory"),
    "runtime": ("Ranks", "Run", "run"),
    "show": (
        "compare",
        "explore",
        "explore_balance",
        "explore_costs",
        "explore_hiding",
        "explore_serving",
        "explore_step",
        "plot",
        "plot_curves",
        "plot_memory",
        "plot_plan",
        "plot_profile",
        "plot_rebalancing",
        "plot_serving",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = list(_ROOM_OF)

if TYPE_CHECKING:
    from .eplb import Plan, rebalance, rebalance_experts
    from .ir import Action, Placement, Problem, Schedule, ScheduleError, check, forward_only, from_csv, lower, to_csv
    from .runtime import Ranks, Run, run
    from .schedules import (
        SCHEDULES,
        build,
        dualpipe,
        dualpipe_v,
        gpipe,
        interleaved_1f1b,
        naive,
        one_f_one_b,
        zb_h1,
        zb_h2,
        zb_v,
    )
    from .show import (
        compare,
        explore,
        explore_balance,
        explore_costs,
        explore_hiding,
        explore_step,
        plot,
        plot_curves,
        plot_memory,
        plot_plan,
        plot_profile,
    )
    from .simulate import Costs, comparison, estimate_step, simulate, theory
    from .timeline import Profile, Span, Timeline, from_chrome_trace, load_profile, to_chrome_trace


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'pipelab' has no attribute {name!r}")
    room = import_module(f".{_ROOM_OF[name]}", __name__)
    return room if name == _ROOM_OF[name] else getattr(room, name)  # the room simulate can itself be called


def _draw_later() -> None:
    """Let names that draw import matplotlib when they are called, and not yet when a module asks for them.

    For ranks. A stage's module may say ``from pipelab import *``, or import what it draws with at home. No rank draws,
    and each would wait for the import: seconds, on a few cores.
    """

    def later(name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(import_module(".show", __name__), name)(*args, **kwargs)

    globals().update({name: partial(later, name) for name in _ROOMS["show"]})


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
