"""Mixture of Experts on real ranks: router, dispatch and combine, experts spread over a group of ranks.

Importing this room doesn't import torch: a name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "Expert": ".layer",
    "ExpertGroup": "..runtime.grid",
    "Hiding": ".hiding",
    "MoE": ".layer",
    "MoEBlock": ".layer",
    "DispatchPlan": ".dispatch",
    "Router": ".router",
    "Routing": ".router",
    "hide": ".hiding",
    "dispatch_plan": ".dispatch",
    "sum_replicated_gradients": "..runtime.grid",
}

__all__ = [
    "Expert",
    "ExpertGroup",
    "Hiding",
    "MoE",
    "MoEBlock",
    "DispatchPlan",
    "Router",
    "Routing",
    "hide",
    "dispatch_plan",
    "sum_replicated_gradients",
]

if TYPE_CHECKING:
    from ..runtime.grid import ExpertGroup, sum_replicated_gradients
    from .dispatch import DispatchPlan, dispatch_plan
    from .hiding import Hiding, hide
    from .layer import Expert, MoE, MoEBlock
    from .router import Router, Routing


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipelab.moe' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
