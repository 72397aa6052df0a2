"""Exercises and assignments: checks that say why an answer is not right yet, and points for what is submitted."""

from .assignments import ASSIGNMENTS, Assignment
from .checks import (
    Feedback,
    check_balancer,
    check_bias,
    check_number,
    check_order,
    check_pack,
    check_replicate,
    check_schedule,
    plan_of,
    points,
    schedule_of,
)
from .grading import GradedSubmission, Leaderboard, ScoredTest, feedback, grade, grade_folder
from .isolation import Limits

__all__ = [
    "ASSIGNMENTS",
    "Assignment",
    "Feedback",
    "GradedSubmission",
    "Leaderboard",
    "Limits",
    "ScoredTest",
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
