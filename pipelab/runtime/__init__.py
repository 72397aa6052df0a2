"""Schedule + stages on real ranks -> Timeline. Importing this room doesn't import torch: only ranks need it."""

from ..ranks import Progress
from .result import Run
from .run import run

__all__ = ["Progress", "Run", "run"]
