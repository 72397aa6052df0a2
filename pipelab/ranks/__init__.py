"""Real processes for one experiment: started in a moment, watched from outside, gone afterwards.

Importing this room doesn't import torch: only ranks need it.
"""

from .doctor import examine
from .errors import Cancelled, Deadlock, RankDied, RankError, RankState, RankTimeout
from .pool import Ranks
from .progress import Progress
from .torchrun import under_torchrun

__all__ = [
    "Cancelled",
    "Deadlock",
    "Progress",
    "RankDied",
    "RankError",
    "RankState",
    "RankTimeout",
    "Ranks",
    "examine",
    "under_torchrun",
]
