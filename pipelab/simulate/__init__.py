"""Schedule + Costs -> Timeline; and the closed forms that the simulation must agree with."""

import sys
from types import ModuleType

from ..ir import Schedule
from ..timeline import Timeline
from .comparison import Comparison, comparison
from .costs import Costs
from .estimate import Estimates, estimate_step
from .simulate import simulate
from .theory import Theory, theory

__all__ = ["Comparison", "Costs", "Estimates", "Theory", "comparison", "estimate_step", "simulate", "theory"]


class _CallableRoom(ModuleType):
    """The room and its main function share a name: `pipelab.simulate` is this module, and calling it simulates."""

    def __call__(self, schedule: Schedule, costs: Costs | None = None) -> Timeline:
        return simulate(schedule, costs)


_CallableRoom.__call__.__doc__ = simulate.__doc__
sys.modules[__name__].__class__ = _CallableRoom
