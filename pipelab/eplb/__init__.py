"""Expert load balancing: which experts get replicas, and which GPU holds which.

The names are listed in `__init__.pyi`. This room needs numpy alone, not torch.
"""

from ..lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
