"""pipelab: how large models are trained across GPUs.

A schedule is data: check it, simulate it, draw it, run it on real ranks. Seven nouns and a few verbs stand here, listed
in `__init__.pyi`, and rooms hold the rest, as in `pipelab.eplb.zipf(…)`. A room is imported when it, or a name of it,
is first used, as torch and matplotlib take seconds.
"""

from .lazy import attach

__version__ = "0.1.0"

#: Names that stood here at 0.1.0, or since, and where they are now.
RENAMED = {
    "comparison": "compare_schedules",
    "explore": "show.explore_schedule",
    "explore_costs": "show.explore_comparison",
    "explore_hiding": "show.explore_overlap",
    "explore_step": "show.explore_estimate",
    "Table": "table.Table",
    **{
        name: f"{room}.{name}"
        for room, names in {
            "autograd": "SplitBackward",
            "eplb": "rebalance_experts recorded_loads",
            "ir": "Problem ScheduleError forward_only from_csv lower to_csv",
            "profiler": "Profile load_profile",
            "ranks": "Ranks examine",
            "schedules": "SCHEDULES dualpipe dualpipe_v gpipe interleaved_1f1b naive one_f_one_b zb_h1 zb_h2 zb_v",
            "show": "explore_algorithm explore_balance explore_bubble explore_comparison explore_estimate "
            "explore_overlap explore_schedule explore_serving plot_curves plot_loads plot_memory plot_plan "
            "plot_profile plot_rebalancing plot_savings plot_segments plot_serving",
            "simulator": "place_segments recorded_segments",
            "timeline": "Span from_chrome_trace to_chrome_trace",
        }.items()
        for name in names.split()
    },
}

__getattr__, _listed, __all__ = attach(__name__, __file__, renamed=RENAMED)


def __dir__() -> list[str]:
    return [*_listed(), "__version__"]
