"""Results: what a submission scored, test by test, with a reason for every point that is missing."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...amounts import at_least
from ...table import Table
from ..checks.feedback import panel, shortened

_MOST_REASONS = 6


@dataclass(frozen=True)
class ScoredTest:
    """One test's result.

    Parameters
    ----------
    name : str
        Of the test.
    score, max_score : float
        Points.
    reasons : tuple of str
        Why points are missing; where none are, what is worth knowing.
    hints : tuple of str
        Of the levels that were asked for, where points are missing.
    visibility : str
        Gradescope's: visible, hidden, after_due_date, after_published.

    Examples
    --------
    >>> ScoredTest("can run", 1, 2, ("rank 0 waits",), ("look at rank 1",)).lines
    ['rank 0 waits', 'hint: look at rank 1']
    """

    name: str
    score: float
    max_score: float
    reasons: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    visibility: str = "visible"

    @property
    def full(self) -> bool:
        return self.score >= self.max_score

    @property
    def lines(self) -> list[str]:
        return [*shortened(self.reasons, _MOST_REASONS), *(f"hint: {hint}" for hint in self.hints)]

    @property
    def row(self) -> tuple[str, str]:
        sign = "✓" if self.full else "±" if self.score else "✗"
        return f"{sign} {self.name}", f"{self.score:g} / {self.max_score:g}"


@dataclass(frozen=True)
class GradedSubmission:
    """All tests of one submission, and what stands on the leaderboard. It is true if it has all points.

    Parameters
    ----------
    name : str
        Of the submission.
    assignment, title : str
        Name and title of the assignment.
    version : int
        Of the assignment.
    tests : tuple of ScoredTest
        In the order of the rubric.
    foul : str
        What the code did so that none of it counts; empty if it behaved.
    printed : str
        The end of what the code printed.
    figures : mapping of str to float
        For the leaderboard; a name that ends in "↓" is better when smaller.
    seconds : float
        That grading took.

    Examples
    --------
    >>> GradedSubmission("ann", "a", "Assignment A", 1, (ScoredTest("can run", 1, 2, ("rank 0 waits",)),))
    Assignment A (version 1): ann
    ± can run  1 / 2
        - rank 0 waits
      total    1 / 2
    """

    name: str
    assignment: str
    title: str
    version: int
    tests: tuple[ScoredTest, ...]
    foul: str = ""
    printed: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def score(self) -> float:
        return round(sum(test.score for test in self.tests), 2)

    @property
    def max_score(self) -> float:
        return round(sum(test.max_score for test in self.tests), 2)

    @property
    def passed(self) -> bool:
        """All points."""
        return bool(self.tests) and all(test.full for test in self.tests)

    def __bool__(self) -> bool:
        return self.passed

    def __float__(self) -> float:
        """The points: what a cell that nbgrader grades ends with."""
        return float(self.score)

    def __repr__(self) -> str:
        return self.table()

    def table(self, *, width: int | None = None) -> str:
        """As text; reasons and hints are broken into lines of so many columns, or not at all."""
        width = None if width is None else at_least(1, width, "width")
        total = ("  total", f"{self.score:g} / {self.max_score:g}")
        figures = [(f"  {name}", f"{value:.6g}") for name, value in self.figures.items()]
        rows = str(Table([*(test.row for test in self.tests), total, *figures])).splitlines()
        lines = [f"{self.title} (version {self.version}): {self.name}"]
        lines += [f"✗ {self.foul}"] if self.foul else []
        for row, test in zip(rows, self.tests, strict=False):
            lines += [row, *(f"    - {line}" for line in self._lines(test))]
        lines += rows[len(self.tests) :]
        return "\n".join(part for line in lines for part in (_broken(line, width) if width else [line]))

    def _lines(self, test: ScoredTest) -> list[str]:
        return [line for line in test.lines if line != self.foul]

    def _repr_html_(self) -> str:
        rows = [(*test.row, "\n".join(self._lines(test))) for test in self.tests]
        notes = ([self.foul] if self.foul else []) + [f"{name} {value:.6g}" for name, value in self.figures.items()]
        shown = Table(rows, ["test", "points", "why"], notes=notes)._repr_html_()
        title = f"{self.title} · {self.score:g} of {self.max_score:g} points"
        return panel("✓" if self.passed else "✗", title, shown)

    def gradescope(self) -> dict[str, Any]:
        """Gradescope's results.json.

        >>> graded = GradedSubmission("ann", "a", "A", 1, (ScoredTest("runs", 1, 2, ("too short",)),))
        >>> graded.gradescope()["tests"][0]["output"]
        'too short'
        """
        said = self.foul or f"{self.title}, version {self.version}: {self.score:g} of {self.max_score:g} points"
        return {
            "score": self.score,
            "output": f"{said}\n\nyour code printed:\n{self.printed}" if self.printed else said,
            "execution_time": round(self.seconds, 2),
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": [
                {
                    "name": test.name,
                    "score": test.score,
                    "max_score": test.max_score,
                    "status": "passed" if test.full else "failed",
                    "output": "\n".join(test.lines),
                    "visibility": test.visibility,
                }
                for test in self.tests
            ],
            "leaderboard": [
                {
                    "name": name.rstrip(" ↓"),
                    "value": float(f"{value:.6g}"),
                    "order": "asc" if name.endswith("↓") else "desc",
                }
                for name, value in self.figures.items()
            ],
        }

    def to_json(self) -> str:
        """Everything, for `from_json`."""
        everything = asdict(self)
        everything["marks"] = everything.pop("tests")  # the key that files have had from the first
        return json.dumps(everything, ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> GradedSubmission:
        """ValueError for text that `to_json` did not write.

        >>> graded = GradedSubmission("ann", "a", "A", 1, (ScoredTest("runs", 1, 2, ("too short",)),))
        >>> GradedSubmission.from_json(graded.to_json()) == graded
        True
        """
        try:
            found = json.loads(text)
            tests = tuple(
                ScoredTest(**{**test, "reasons": tuple(test["reasons"]), "hints": tuple(test["hints"])})
                for test in found.pop("marks")
            )
            return cls(**found, tests=tests)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"this is no graded submission, as to_json writes it: {error!r}") from None


def _broken(line: str, columns: int) -> list[str]:
    """Into lines that stand below one another, as a terminal's own breaks do not."""
    indent = " " * (6 if line.startswith("    - ") else 2)
    return textwrap.wrap(line, max(columns, 20), subsequent_indent=indent, break_long_words=False)
