"""Experts that serve given loads under a plan, and move to another. Importing this room doesn't import torch."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .launch import serve
from .outcome import Served, Serving

if TYPE_CHECKING:
    from .migration import migrate
    from .placed_experts import PlacedExperts

__all__ = ["PlacedExperts", "Served", "Serving", "migrate", "serve"]


def __getattr__(name: str) -> Any:
    if name not in ("PlacedExperts", "migrate"):
        raise AttributeError(f"module 'pipelab.serving' has no attribute {name!r}")
    return getattr(import_module(".migration", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
