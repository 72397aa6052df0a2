"""What each rank does, in what order: a schedule is data. It needs numpy and nothing else."""

from .action import Action
from .check import Problem, ScheduleError, check, require_valid as require_valid  # for other rooms, as the next ones
from .lower import lower
from .placement import Placement, bidirectional, linear, looped, v_shape
from .schedule import Schedule, forward_only, from_csv, require_schedule as require_schedule, to_csv
from .segments import ORDERS, Segment, SegmentOrder, SegmentProblem, all_orders, order_problems

__all__ = [
    "ORDERS",
    "Action",
    "Placement",
    "Problem",
    "Schedule",
    "ScheduleError",
    "Segment",
    "SegmentOrder",
    "SegmentProblem",
    "all_orders",
    "bidirectional",
    "check",
    "forward_only",
    "from_csv",
    "linear",
    "looped",
    "lower",
    "order_problems",
    "to_csv",
    "v_shape",
]
