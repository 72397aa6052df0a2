"""Schedule + stages on real ranks -> Timeline. Importing this room doesn't import torch: only ranks need it."""

from .errors import Cancelled, Deadlock, RankDied, RankError, RankState, RankTimeout
from .ranks import Ranks, under_torchrun
from .result import Run
from .run import Progress, run

__all__ = [
    "Cancelled",
    "Deadlock",
    "Progress",
    "RankDied",
    "RankError",
    "RankState",
    "RankTimeout",
    "Ranks",
    "Run",
    "run",
    "under_torchrun",
]
