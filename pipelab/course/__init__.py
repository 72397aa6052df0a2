"""Exercises and assignments: checks that say why an answer is not right yet, and marks for what is handed in."""

from .assignments import ASSIGNMENTS, Assignment
from .balance import check_pack, check_replicate
from .balancer import check_balancer, plan_of
from .bias import check_bias
from .confine import Limits
from .exercise import Feedback, check_number, check_schedule
from .folder import grade_folder
from .grading import feedback, grade
from .leaderboard import Leaderboard
from .marks import Grade, Mark
from .phases import check_order
from .points import points
from .schedule import schedule_of

__all__ = [
    "ASSIGNMENTS",
    "Assignment",
    "Feedback",
    "Grade",
    "Leaderboard",
    "Limits",
    "Mark",
    "check_balancer",
    "check_bias",
    "check_number",
    "check_order",
    "check_pack",
    "check_replicate",
    "check_schedule",
    "feedback",
    "grade",
    "grade_folder",
    "plan_of",
    "points",
    "schedule_of",
]
