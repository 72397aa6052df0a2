"""What an assignment is made of: questions to a submission's functions, and tests that judge the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..checks.judge import Judged, Replies
from ..isolation import Limits, Question


@dataclass(frozen=True)
class Test:
    """One line of the rubric.

    judge: from the answers to the share of the points; it may raise Refused. A Judge has a face for notebooks, too.
    hints: the first is given with --hints 1, all of them with --hints 2.
    visibility: Gradescope's visible, hidden, after_due_date or after_published.
    real: it runs on real ranks.
    """

    name: str
    points: float
    judge: Callable[[Replies], Judged]
    hints: tuple[str, ...] = ()
    visibility: str = "visible"
    real: bool = False

    def hinted(self, *hints: str) -> Test:
        """The same with these hints."""
        return replace(self, hints=hints)


@dataclass(frozen=True)
class Assignment:
    """An assignment: which functions a submission has, what they are asked, and what the answers are worth.

    Parameters
    ----------
    name, title : str
        On the command line, and for people.
    version : int
        Goes up whenever a test changes, so that submissions are graded again.
    files : mapping of str to sequence of str
        Each file with its functions, as a student reads them.
    questions : tuple of Question
        All that is asked, in one process.
    tests : tuple of Test
        The rubric.
    table : str
        A function (ranks, microbatches) -> actions per rank, for which a CSV table may stand.
    figures : function (replies) -> mapping of str to float, optional
        What stands on the leaderboard.
    limits : Limits
        Of time, memory, output and processes.
    pipelab : bool
        Whether submissions may import pipelab.

    Examples
    --------
    >>> from pipelab.course import ASSIGNMENTS
    >>> [f"{test.points} {test.name}" for test in ASSIGNMENTS["fill-the-bubbles"].tests][:2]
    ['3 my_schedule can run', '4 my_schedule as fast as zb-h1']
    """

    name: str
    title: str
    version: int
    files: Mapping[str, Sequence[str]]
    questions: tuple[Question, ...]
    tests: tuple[Test, ...]
    table: str = ""
    figures: Callable[[Replies], Mapping[str, float]] | None = None
    limits: Limits = field(default_factory=Limits)
    pipelab: bool = False

    @property
    def points(self) -> float:
        return sum(test.points for test in self.tests)
