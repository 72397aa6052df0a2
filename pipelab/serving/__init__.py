"""Experts that serve given loads under a plan, and move to another.

Importing this room doesn't import torch: a name is imported when it is first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
