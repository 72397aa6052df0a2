"""Small real models cut into stages, and the text they train on: the standard library's own sources.

Importing this room loads neither torch nor the text: a name is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Attention", "Block", "Embedding", "Head", "batches", "loss", "stdlib_text", "transformer_stages"]

if TYPE_CHECKING:
    from .text import batches, stdlib_text
    from .transformer import Attention, Block, Embedding, Head, loss, transformer_stages


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'pipelab.models' has no attribute {name!r}")
    module = "text" if name in ("batches", "stdlib_text") else "transformer"
    return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
