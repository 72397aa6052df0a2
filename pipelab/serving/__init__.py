"""Experts that serve given loads under a plan, and move to another. Importing this room doesn't import torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOMES = {
    "PlacedExperts": ".placed_experts",
    "Served": ".outcome",
    "Serving": ".outcome",
    "migrate": ".migration",
    "serve": ".launch",
}

__all__ = ["PlacedExperts", "Served", "Serving", "migrate", "serve"]

if TYPE_CHECKING:
    from .launch import serve
    from .migration import migrate
    from .outcome import Served, Serving
    from .placed_experts import PlacedExperts


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'pipelab.serving' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
