"""Judge: one question about a function, with two faces: a sentence for the notebook and points for the grader."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, TypeVar

from ..isolation import Answer, Question
from ..isolation.runner import argument, in_a_line, plain
from .feedback import Feedback, shortened

Case = TypeVar("Case")
_FAILS = "Your function fails"
_MOST = 5  # reasons that a notebook shows


class Refused(ValueError):
    """An answer that can't be judged. Its text is the first reason; `title` is what a notebook says above them all."""

    def __init__(self, *reasons: str, title: str = _FAILS) -> None:
        super().__init__(reasons[0] + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""))
        self.reasons, self.title = reasons, title


class Judged(NamedTuple):
    """What an answer is worth: a share of the points, 0 to 1, and why not all of them; else what is worth knowing."""

    share: float
    reasons: tuple[str, ...] = ()


class Replies:
    """All answers of one submission."""

    def __init__(self, questions: Sequence[Question] = (), answers: Sequence[Answer] = ()) -> None:
        self._answers = dict(zip(map(repr, questions), answers, strict=True))

    def __getitem__(self, question: Question) -> Any:
        """The answer as plain data. Refused: the function failed."""
        answer = self._answers[repr(question)]
        if answer.error:
            raise Refused(answer.error)
        return answer.value


class Called(Replies):
    """The answers of functions that are called here, in this process: a notebook's own, made plain as the grader's."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        self._functions = functions

    def __getitem__(self, question: Question) -> Any:
        if repr(question) not in self._answers:
            arguments = map(argument, copy.deepcopy(question.arguments))
            try:
                answer = Answer(plain(self._functions[question.function](*arguments)))
            except Exception as error:
                answer = Answer(error=in_a_line(error))
            self._answers[repr(question)] = answer
        return super().__getitem__(question)


@dataclass(frozen=True)
class Judge(Generic[Case]):
    """A question in several cases. Each case has an equal share of the points.

    cases: in the order in which they are tried, those that are easy to read first.
    verdict: (replies, case) -> Judged; it may raise Refused.
    parts: the case in words, such as ("4 ranks", "8 micro-batches"). Needed unless there is one case only.
    wrong: what the notebook says of an answer that loses points.

    >>> doubled = Question("file.py", "double", (3,))
    >>> judge = Judge([6], lambda replies, right: Judged(float(replies[doubled] == right), ("2·3 = 6",)))
    >>> judge(Replies([doubled], [Answer(5)]))
    Judged(share=0.0, reasons=('2·3 = 6',))
    >>> judge.feedback(Called({"double": lambda x: x + 2}), Feedback(True, "Right"))
    ✗ Not right yet
      - 2·3 = 6
    """

    cases: Sequence[Case]
    verdict: Callable[[Replies, Case], Judged]
    parts: Callable[[Case], tuple[str, ...]] = lambda case: ()
    wrong: str = "Not right yet"

    def __call__(self, replies: Replies) -> Judged:
        """The grader's face: all cases. What is said of several cases in the same words is said once."""
        share, where, told = 0.0, dict[str, str](), 0
        for case in self.cases:
            try:
                judged = self.verdict(replies, case)
            except Refused as refused:
                judged = Judged(0, (str(refused),))
            if not self.parts(case):
                return judged
            share += judged.share / len(self.cases)
            if judged.reasons:
                where.setdefault("; ".join(judged.reasons), ", ".join(self.parts(case)))
                told += 1
        if len(where) == 1 and told == len(self.cases) > 1:
            where = dict.fromkeys(where, "in every case")
        return Judged(share, tuple(f"{place}: {reason}" for reason, place in where.items()))

    def feedback(self, replies: Replies, right: Feedback, *others: Judge[Case]) -> Feedback:
        """The notebook's face: what is said of the first case that loses points; else `right`, with the last reasons.

        The others are further questions in the same cases. They count only where the earlier ones are answered.
        """
        told: tuple[str, ...] = ()
        for case in self.cases:
            title, reasons = "", list[str]()
            for judge in (self, *others):
                try:
                    judged, head = judge.verdict(replies, case), judge.wrong
                except Refused as refused:
                    judged, head = Judged(0, refused.reasons), refused.title
                if judged.share >= 1:
                    told = judged.reasons
                elif not title or title == head:
                    title = head
                    reasons += [reason for reason in judged.reasons if reason not in reasons]
            if title:
                if where := " and ".join(self.parts(case)):
                    title += f"{',' * (title != _FAILS)} with {where}"
                return Feedback(False, title, tuple(shortened(reasons, _MOST)))
        return right if right.reasons else replace(right, reasons=told)
