"""Schedule + stages on real ranks -> Timeline. Importing this room doesn't import torch: only ranks need it."""

from .result import Run
from .run import Progress, run

__all__ = ["Progress", "Run", "run"]
