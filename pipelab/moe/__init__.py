"""Mixture of Experts on real ranks: router, dispatch and combine, experts spread over a group of ranks.

The names are listed in `__init__.pyi`; importing this room doesn't import torch.
"""

from ..lazy import attach

#: What README.md and lessons of 0.1.0 have from here, and where it is now.
RENAMED = {"serve": "serving.serve"}

__getattr__, __dir__, __all__ = attach(__name__, __file__, renamed=RENAMED)
