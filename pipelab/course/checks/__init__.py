"""Checks: what notebooks call. Each says why an answer is not right yet, as the grader would."""

from .balancer_check import check_balancer, plan_of
from .bias_check import check_bias
from .feedback import Feedback
from .number_check import check_number
from .order_check import check_order
from .pack_check import check_pack
from .points import points
from .reading import schedule_of
from .replicate_check import check_replicate
from .schedule_check import check_schedule

__all__ = [
    "Feedback",
    "check_balancer",
    "check_bias",
    "check_number",
    "check_order",
    "check_pack",
    "check_replicate",
    "check_schedule",
    "plan_of",
    "points",
    "schedule_of",
]
