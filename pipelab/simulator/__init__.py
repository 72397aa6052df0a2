"""Schedule + Costs -> Timeline."""

from .costs import Costs
from .engine import simulate

__all__ = ["Costs", "simulate"]
