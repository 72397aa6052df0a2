"""The assignments, one short file each. To add one: write such a file, and name it here (docs/instructors.md)."""

from runpy import run_path

from ..checks.judge import Judged, Refused, Replies
from .base import Assignment, Test
from .dualpipe_phases import ASSIGNMENT as _dualpipe
from .fill_the_bubbles import ASSIGNMENT as _fill_the_bubbles
from .gpipe_and_1f1b import ASSIGNMENT as _gpipe_and_1f1b
from .open_leaderboard import ASSIGNMENT as _leaderboard
from .overlap_order import ASSIGNMENT as _overlap_order
from .replicate_and_pack import ASSIGNMENT as _replicate_and_pack

__all__ = ["ASSIGNMENTS", "Assignment", "Judged", "Refused", "Replies", "Test", "assignment"]

_ALL = (_gpipe_and_1f1b, _fill_the_bubbles, _dualpipe, _overlap_order, _replicate_and_pack, _leaderboard)

#: name on the command line -> assignment
ASSIGNMENTS: dict[str, Assignment] = {each.name: each for each in _ALL}


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
