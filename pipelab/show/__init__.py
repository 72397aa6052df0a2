"""Pictures and widgets. Nothing else in pipelab imports matplotlib or ipywidgets, and this room only where it must."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULES = {
    "backends.picture": ("picture_formats",),
    "backends.svg": ("timeline_svg",),
    "backends.terminal": ("text_timeline",),
    "explore.algorithm_explorer": ("AlgorithmExplorer", "explore_algorithm"),
    "explore.balance_explorer": ("BalanceExplorer", "explore_balance"),
    "explore.bubble_explorer": ("BubbleExplorer", "explore_bubble"),
    "explore.comparison_explorer": ("ComparisonExplorer", "explore_comparison", "explore_estimate"),
    "explore.overlap_explorer": ("OverlapExplorer", "explore_overlap"),
    "explore.schedule_explorer": ("ScheduleExplorer", "explore_schedule"),
    "explore.serving_explorer": ("ServingExplorer", "explore_serving"),
    "figures": ("figures_table",),
    "plots.bubble_plots": ("bubble_terms", "plot_bubble"),
    "plots.curve_plots": ("plot_curves",),
    "plots.load_plots": ("plot_loads",),
    "plots.plan_plots": ("plot_plan",),
    "plots.memory_plots": ("plot_memory",),
    "plots.profile_plots": ("plot_profile", "plot_segments"),
    "plots.savings_chart": ("plot_savings",),
    "plots.serving_plots": ("plot_rebalancing", "plot_serving"),
    "plots.timeline_plots": ("compare", "plot"),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)

if TYPE_CHECKING:
    from .backends.picture import picture_formats
    from .backends.svg import timeline_svg
    from .backends.terminal import text_timeline
    from .explore.algorithm_explorer import AlgorithmExplorer, explore_algorithm
    from .explore.balance_explorer import BalanceExplorer, explore_balance
    from .explore.bubble_explorer import BubbleExplorer, explore_bubble
    from .explore.comparison_explorer import ComparisonExplorer, explore_comparison, explore_estimate
    from .explore.overlap_explorer import OverlapExplorer, explore_overlap
    from .explore.schedule_explorer import ScheduleExplorer, explore_schedule
    from .explore.serving_explorer import ServingExplorer, explore_serving
    from .figures import figures_table
    from .plots.bubble_plots import bubble_terms, plot_bubble
    from .plots.curve_plots import plot_curves
    from .plots.load_plots import plot_loads
    from .plots.memory_plots import plot_memory
    from .plots.plan_plots import plot_plan
    from .plots.profile_plots import plot_profile, plot_segments
    from .plots.savings_chart import plot_savings
    from .plots.serving_plots import plot_rebalancing, plot_serving
    from .plots.timeline_plots import compare, plot


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pipelab.show' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
