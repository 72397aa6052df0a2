"""Pictures and widgets. Nothing else in pipelab imports matplotlib or ipywidgets, and this room only where it must."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULES = {
    "plots": ("compare", "plot", "plot_memory"),
    "curves": ("plot_curves",),
    "profile": ("plot_profile",),
    "gains": ("plot_gains",),
    "phases": ("plot_segments",),
    "loads": ("plot_loads",),
    "plan": ("plot_plan",),
    "balancer": ("BalanceExplorer", "explore_balance"),
    "steps": ("Stepper", "step_through"),
    "explorer": ("Explorer", "explore"),
    "bubble": ("BubbleExplorer", "bubble_terms", "explore_bubble", "plot_bubble"),
    "comparer": ("Comparer", "explore_costs", "explore_step"),
    "picture": ("picture_formats",),
    "hider": ("Hider", "explore_hiding"),
    "serving": ("plot_rebalancing", "plot_serving"),
    "server": ("Server", "explore_serving"),
    "text": ("text_timeline",),
    "figures": ("figures_table",),
    "svg": ("timeline_svg",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "BalanceExplorer",
    "BubbleExplorer",
    "Comparer",
    "Explorer",
    "Hider",
    "Server",
    "Stepper",
    "bubble_terms",
    "compare",
    "explore",
    "explore_balance",
    "explore_bubble",
    "explore_costs",
    "explore_hiding",
    "explore_serving",
    "explore_step",
    "figures_table",
    "picture_formats",
    "plot",
    "plot_bubble",
    "plot_curves",
    "plot_gains",
    "plot_loads",
    "plot_memory",
    "plot_segments",
    "plot_plan",
    "plot_profile",
    "plot_rebalancing",
    "plot_serving",
    "step_through",
    "text_timeline",
    "timeline_svg",
]

if TYPE_CHECKING:
    from .balancer import BalanceExplorer, explore_balance
    from .bubble import BubbleExplorer, bubble_terms, explore_bubble, plot_bubble
    from .comparer import Comparer, explore_costs, explore_step
    from .curves import plot_curves
    from .explorer import Explorer, explore
    from .figures import figures_table
    from .gains import plot_gains
    from .hider import Hider, explore_hiding
    from .loads import plot_loads
    from .phases import plot_segments
    from .picture import picture_formats
    from .plan import plot_plan
    from .plots import compare, plot, plot_memory
    from .profile import plot_profile
    from .server import Server, explore_serving
    from .serving import plot_rebalancing, plot_serving
    from .steps import Stepper, step_through
    from .svg import timeline_svg
    from .text import text_timeline


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pipelab.show' has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
