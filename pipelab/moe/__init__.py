"""Mixture of Experts on real ranks: router, dispatch and combine, experts spread over a group of ranks.

Importing this room doesn't import torch: a name is imported when it is first used.
"""
# ruff: noqa: F401 (what type checkers see of the lazy names)

from importlib import import_module
from typing import TYPE_CHECKING, Any

_MODULES = {
    ".dispatch": ("DispatchPlan", "dispatch_plan"),
    ".hiding": ("Hiding", "hide"),
    ".layer": ("Expert", "MoE", "MoEBlock"),
    ".router": ("Router", "Routing"),
    "..overlap.expert_group": ("ExpertGroup",),
    "..runtime.copies": ("sum_replicated_gradients",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_MODULE_OF)

if TYPE_CHECKING:
    from ..overlap.expert_group import ExpertGroup
    from ..runtime.copies import sum_replicated_gradients
    from .dispatch import DispatchPlan, dispatch_plan
    from .hiding import Hiding, hide
    from .layer import Expert, MoE, MoEBlock
    from .router import Router, Routing


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pipelab.moe' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
