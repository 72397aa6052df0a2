"""Lazy: a room's names are imported when they are first used, as torch and matplotlib take seconds."""

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lazy_loader


def attach(room: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """A package's `__getattr__`, `__dir__` and `__all__`, from the stub `__init__.pyi` beside its `__init__.py`.

    As lazy_loader's `attach_stub`; but an unknown name is refused in Python's own words, and a submodule of the stub's
    ``from . import name as name`` is an attribute that ``from package import *`` leaves out.

    Parameters
    ----------
    room, file : str
        The package's `__name__` and `__file__`.

    Examples
    --------
    >>> import pipelab.models
    >>> pipelab.models.transformers
    Traceback (most recent call last):
    AttributeError: module 'pipelab.models' has no attribute 'transformers'
    """
    load, listed, names = lazy_loader.attach_stub(room, file)
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8"))
    imported = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    inside = {each.name for node in imported if node.module is None for each in node.names}

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return load(name)

    return get, listed, [name for name in names if name not in inside]
