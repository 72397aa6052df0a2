"""Exercises: checks that say why an answer is not right yet."""

from .balance import check_pack, check_replicate
from .balancer import check_balancer, plan_of
from .exercise import Feedback, check_number, check_schedule
from .phases import check_order

__all__ = [
    "Feedback",
    "check_balancer",
    "check_number",
    "check_order",
    "check_pack",
    "check_replicate",
    "check_schedule",
    "plan_of",
]
