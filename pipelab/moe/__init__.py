"""Mixture of Experts on real ranks: router, dispatch and combine, experts spread over a group of ranks.

The names are listed in `__init__.pyi`; importing this room doesn't import torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
