"""Lazy: a room's names are imported when they are first used, as torch and matplotlib take seconds."""

import ast
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import lazy_loader


def attach(
    room: str, file: str, *, renamed: Mapping[str, str] | None = None
) -> tuple[Callable[..., Any], Callable[[], list[str]], list[str]]:
    """A package's `__getattr__`, `__dir__` and `__all__`, from the stub `__init__.pyi` beside its `__init__.py`.

    As lazy_loader's `attach_stub`; but an unknown name is refused in Python's own words, and a submodule of the stub's
    ``from . import name as name`` is an attribute that ``from package import *`` leaves out.

    Parameters
    ----------
    room, file : str
        The package's `__name__` and `__file__`.
    renamed : mapping of str to str, optional
        Names that stood here, and where they are now, below pipelab. They work, and warn.

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

    def get(name: str, level: int = 2) -> Any:
        if renamed and name in renamed:
            package = import_module(__package__)
            message = f"{room}.{name} is now {package.__name__}.{renamed[name]}"
            warnings.warn(message, DeprecationWarning, stacklevel=level)
            return attrgetter(renamed[name])(package)
        if name not in names:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return load(name)

    return get, listed, [name for name in names if name not in inside]
