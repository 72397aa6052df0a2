"""Experts that serve given loads under a plan, and move to another. Importing this room doesn't import torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "PlacedExperts": ".placed_experts",
    "Served": ".served",
    "Serving": ".served",
    "migrate": ".migration",
    "serve": ".windows",
}

__all__ = ["PlacedExperts", "Served", "Serving", "migrate", "serve"]

if TYPE_CHECKING:
    from .migration import migrate
    from .placed_experts import PlacedExperts
    from .served import Served, Serving
    from .windows import serve


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipelab.serving' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
