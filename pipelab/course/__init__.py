"""Exercises: checks that say why an answer is not right yet."""

from .exercise import Feedback, check_number, check_schedule
from .phases import check_order

__all__ = ["Feedback", "check_number", "check_order", "check_schedule"]
