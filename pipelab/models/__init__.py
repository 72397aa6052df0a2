"""Small real models cut into stages, and the text they train on: the standard library's own sources.

The names are listed in `__init__.pyi`; importing this room loads neither torch nor the text.
"""

from ..lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
