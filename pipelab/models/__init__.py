"""Small real models cut into stages, and the text they train on: the standard library's own sources.

The names are listed in `__init__.pyi`; importing this room loads neither torch nor the text.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
