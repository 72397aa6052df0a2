"""Schedule + Costs -> Timeline; and the closed forms that the simulation must agree with."""

from .costs import Costs
from .engine import simulate
from .theory import Theory, theory

__all__ = ["Costs", "Theory", "simulate", "theory"]
