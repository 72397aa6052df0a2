"""Schedule + Costs -> Timeline."""

from .costs import Costs
from .deepseek_segments import recorded_segments
from .engine import simulate
from .pair_timing import place_segments

__all__ = ["Costs", "place_segments", "recorded_segments", "simulate"]
