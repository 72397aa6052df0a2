"""Pictures and widgets. Nothing else in pipelab imports matplotlib or ipywidgets, and this room only where it must."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
