"""Pictures and widgets. Nothing else in pipelab imports matplotlib or ipywidgets, and this room only where it must."""

from ..lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
