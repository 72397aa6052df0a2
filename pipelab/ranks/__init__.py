"""Real processes for one experiment: started in a moment, watched from outside, gone afterwards.

Importing this room doesn't import torch: only ranks need it.
"""

from .errors import Cancelled, Deadlock, RankDied, RankError, RankState, RankTimeout
from .pool import Ranks, under_torchrun

__all__ = ["Cancelled", "Deadlock", "RankDied", "RankError", "RankState", "RankTimeout", "Ranks", "under_torchrun"]
