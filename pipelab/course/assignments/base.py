"""What an assignment is made of: questions to the hand-in's functions, and tests that judge the answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..confine import Answer, Limits, Question


class Refused(ValueError):
    """An answer that can't be judged; its text says why."""


class Replies:
    """The answers to all questions of one hand-in. What is worked out from them is kept in `known`."""

    def __init__(self, questions: Sequence[Question], answers: Sequence[Answer]) -> None:
        self._answers = {_key(question): answer for question, answer in zip(questions, answers, strict=True)}
        self.known: dict[Any, Any] = {}

    def __getitem__(self, question: Question) -> Any:
        """Plain data. Refused where the function failed."""
        answer = self._answers[_key(question)]
        if answer.error:
            raise Refused(answer.error)
        return answer.value


def _key(question: Question) -> tuple[str, str]:
    return question.function, repr(question.arguments)


class Judged(NamedTuple):
    """share: of a test's points, 0 to 1.  reasons: why not all of them; else what is worth knowing."""

    share: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Test:
    """One line of the rubric.

    judge        the answers -> how much of the points, and why not all. It may raise Refused.
    hints        the first is given with --hints 1, all of them with --hints 2
    visibility   Gradescope's: visible, hidden, after_due_date, after_published
    real         runs on real ranks
    """

    name: str
    points: float
    judge: Callable[[Replies], Judged]
    hints: tuple[str, ...] = ()
    visibility: str = "visible"
    real: bool = False


@dataclass(frozen=True)
class Assignment:
    """An assignment: which functions a hand-in has, what they are asked, and what the answers are worth.

    files       file -> the functions in it, as a student reads them
    questions   all that is asked, in one process
    version     goes up whenever a test changes, so that hand-ins are graded again
    table       a function that a CSV table may stand for: (ranks, micro-batches) -> actions per rank
    figures     the answers -> what stands on the leaderboard
    pipelab     whether hand-ins may import pipelab
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
