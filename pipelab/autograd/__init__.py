"""A backward in two parts: first the gradient that another rank waits for, later those of the parameters.

Importing this room doesn't import torch: a name is imported when it is first used.
"""

from ..lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
