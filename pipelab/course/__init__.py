"""Exercises and assignments: checks that say why an answer is not right yet, and points for what is submitted."""

from .assignments import ASSIGNMENTS, Assignment
from .checks.balancer_check import check_balancer, plan_of
from .checks.bias_check import check_bias
from .checks.feedback import Feedback
from .checks.number_check import check_number
from .checks.order_check import check_order
from .checks.pack_check import check_pack
from .checks.points import points
from .checks.reading import schedule_of
from .checks.replicate_check import check_replicate
from .checks.schedule_check import check_schedule
from .grading.folder import grade_folder
from .grading.grader import feedback, grade
from .grading.leaderboard import Leaderboard
from .grading.results import GradedSubmission, ScoredTest
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
