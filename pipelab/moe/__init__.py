"""Mixture of Experts on real ranks: router, dispatch and combine, experts spread over a group of ranks.

The names are listed in `__init__.pyi`; importing this room doesn't import torch.
"""

from ..lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
