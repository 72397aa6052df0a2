"""Exercises and assignments: checks that say why an answer is not right yet, and points for what is submitted."""

import types

from .assignments import ASSIGNMENTS as ASSIGNMENTS, Assignment as Assignment
from .checks.balancer_check import check_balancer as check_balancer, plan_of as plan_of
from .checks.bias_check import check_bias as check_bias
from .checks.feedback import Feedback as Feedback
from .checks.number_check import check_number as check_number
from .checks.order_check import check_order as check_order
from .checks.pack_check import check_pack as check_pack
from .checks.points import points as points
from .checks.reading import schedule_of as schedule_of
from .checks.replicate_check import check_replicate as check_replicate
from .checks.schedule_check import check_schedule as check_schedule
from .grading.folder import grade_folder as grade_folder
from .grading.grader import feedback as feedback, grade as grade
from .grading.leaderboard import Leaderboard as Leaderboard
from .grading.results import GradedSubmission as GradedSubmission, ScoredTest as ScoredTest
from .isolation import Limits as Limits

#: All of the above; rooms and modules are no names of it.
__all__ = sorted(name for name, it in vars().items() if name[0] != "_" and not isinstance(it, types.ModuleType))
