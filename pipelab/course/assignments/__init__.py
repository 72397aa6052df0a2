"""The assignments, one short file each. To add one: write such a file, and name it here (docs/instructors.md)."""

from runpy import run_path

from ..checks.judge import Judged, Refused, Replies
from . import dualpipe_phases, fill_the_bubbles, gpipe_and_1f1b, open_leaderboard, overlap_order, replicate_and_pack
from .base import Assignment, Test

__all__ = ["ASSIGNMENTS", "Assignment", "Judged", "Refused", "Replies", "Test", "assignment"]

_FILES = (gpipe_and_1f1b, fill_the_bubbles, dualpipe_phases, overlap_order, replicate_and_pack, open_leaderboard)

#: name on the command line -> assignment
ASSIGNMENTS: dict[str, Assignment] = {each.ASSIGNMENT.name: each.ASSIGNMENT for each in _FILES}


def assignment(name: str) -> Assignment:
    """The assignment of that name, or the ASSIGNMENT of a Python file of your own, such as course/week3.py.

    ValueError lists those that there are.

    >>> assignment("fill-the-bubbles").points
    10
    """
    if name.endswith(".py"):
        try:
            found = run_path(name).get("ASSIGNMENT")
        except FileNotFoundError:
            raise ValueError(f"{name}, which should define ASSIGNMENT, is not there") from None
        if not isinstance(found, Assignment):
            raise ValueError(f"{name} defines no ASSIGNMENT that is an Assignment")
        return found
    if name not in ASSIGNMENTS:
        raise ValueError(
            f"no assignment is called {name!r}; there are {', '.join(ASSIGNMENTS)}, or a file that has one"
        )
    return ASSIGNMENTS[name]
