"""What follows from many simulations: schedules compared, a large model's step, DeepSeek's published figures."""

from .comparison import Comparison, compare_schedules
from .estimate import Estimates, estimate_step

__all__ = ["Comparison", "Estimates", "compare_schedules", "estimate_step"]
