"""A forward and a backward on one rank at once: each computes while the other's rows travel.

Importing this room doesn't import torch: a name is imported when it is first used.
"""

from ..lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
