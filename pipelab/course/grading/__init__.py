"""Grading: submissions are found and judged, and their results written, listed and put on a leaderboard."""

from .folder import grade_folder
from .grader import feedback, grade
from .leaderboard import Leaderboard
from .results import GradedSubmission, ScoredTest

__all__ = ["GradedSubmission", "Leaderboard", "ScoredTest", "feedback", "grade", "grade_folder"]
