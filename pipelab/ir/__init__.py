"""What each rank does, in what order: a schedule is data. Pure Python, no dependencies."""

from .action import Action
from .check import Problem, ScheduleError, check, require_valid
from .lower import lower
from .numbers import at_least, counted
from .placement import Placement, bidirectional, linear, looped, v_shape
from .schedule import Schedule, forward_only, from_csv, require_schedule, to_csv

__all__ = [
    "Action",
    "Placement",
    "Problem",
    "Schedule",
    "ScheduleError",
    "at_least",
    "bidirectional",
    "check",
    "counted",
    "forward_only",
    "from_csv",
    "linear",
    "looped",
    "lower",
    "require_schedule",
    "require_valid",
    "to_csv",
    "v_shape",
]
