"""Marks: what a hand-in scored, test by test, with a reason for every lost point. Shows itself wherever it goes."""

from __future__ import annotations

import html
import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_MOST_REASONS = 6


@dataclass(frozen=True)
class Mark:
    """One test's result.

    score, max_score   points
    reasons            why points are missing, in sentences; what is worth knowing, where none are
    hints              of the levels that were asked for, where points are missing
    visibility         Gradescope's: visible, hidden, after_due_date, after_published
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
        more = len(self.reasons) - _MOST_REASONS
        cut = [f"… and {more} more"] if more > 0 else []
        return [*self.reasons[:_MOST_REASONS], *cut, *(f"hint: {hint}" for hint in self.hints)]


@dataclass(frozen=True)
class Grade:
    """All marks of one hand-in, and what stands on the leaderboard.

    name         of the hand-in
    title, version   of the assignment
    foul         what the code did that nothing of it counts for; empty if it behaved
    printed      the end of what the code printed
    figures      name -> value, for the leaderboard; a name that ends in "↓" is better when smaller
    seconds      that grading took
    """

    name: str
    assignment: str
    title: str
    version: int
    marks: tuple[Mark, ...]
    foul: str = ""
    printed: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def score(self) -> float:
        return round(sum(mark.score for mark in self.marks), 2)

    @property
    def max_score(self) -> float:
        return round(sum(mark.max_score for mark in self.marks), 2)

    @property
    def passed(self) -> bool:
        """All points."""
        return bool(self.marks) and all(mark.full for mark in self.marks)

    def __bool__(self) -> bool:
        return self.passed

    def __float__(self) -> float:
        """The points: what a cell that nbgrader grades ends with."""
        return float(self.score)

    def __str__(self) -> str:
        return self.table()

    __repr__ = __str__

    def table(self, columns: int | None = None) -> str:
        """As text; reasons and hints are broken into lines of so many columns, or not at all."""
        width = max([len(mark.name) for mark in self.marks] + [len("total")])
        lines = [f"{self.title} (version {self.version}): {self.name}"]
        lines += [f"✗ {self.foul}"] if self.foul else []
        for mark in self.marks:
            sign = "✓" if mark.full else "✗" if not mark.score else "±"
            lines.append(f"{sign} {mark.name:<{width}}  {mark.score:>5g} / {mark.max_score:g}")
            lines += [f"    - {line}" for line in mark.lines if line != self.foul]
        lines.append(f"  {'total':<{width}}  {self.score:>5g} / {self.max_score:g}")
        lines += [f"  {name:<{width}}  {value:.6g}" for name, value in self.figures.items()]
        if columns:
            lines = [part for line in lines for part in _broken(line, columns)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        colour = "#009E73" if self.passed else "#D55E00"
        rows = []
        for mark in self.marks:
            sign = "✓" if mark.full else "✗" if not mark.score else "±"
            why = "".join(f"<div>{html.escape(line)}</div>" for line in mark.lines if line != self.foul)
            rows.append(
                f'<tr><td style="text-align:left;vertical-align:top">{sign} {html.escape(mark.name)}</td>'
                f'<td style="vertical-align:top;white-space:nowrap">{mark.score:g} / {mark.max_score:g}</td>'
                f'<td style="text-align:left">{why}</td></tr>'
            )
        figures = "".join(f"<div>{html.escape(name)} {value:.6g}</div>" for name, value in self.figures.items())
        foul = f"<div>{html.escape(self.foul)}</div>" if self.foul else ""
        return (
            f'<div style="border-left: 4px solid {colour}; padding: 4px 12px"><b>{html.escape(self.title)} · '
            f"{self.score:g} of {self.max_score:g} points</b>{foul}<table>{''.join(rows)}</table>{figures}</div>"
        )

    def gradescope(self) -> dict[str, Any]:
        """Gradescope's results.json.

        >>> Grade("ann", "a", "A", 1, (Mark("runs", 1, 2, ("too short",)),)).gradescope()["tests"][0]["output"]
        'too short'
        """
        return {
            "score": self.score,
            "output": self._output(),
            "execution_time": round(self.seconds, 2),
            "visibility": "visible",
            "stdout_visibility": "hidden",
            "tests": [
                {
                    "name": mark.name,
                    "score": mark.score,
                    "max_score": mark.max_score,
                    "status": "passed" if mark.full else "failed",
                    "output": "\n".join(mark.lines),
                    "visibility": mark.visibility,
                }
                for mark in self.marks
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

    def _output(self) -> str:
        said = self.foul or f"{self.title}, version {self.version}: {self.score:g} of {self.max_score:g} points"
        return f"{said}\n\nyour code printed:\n{self.printed}" if self.printed else said

    def to_json(self) -> str:
        """Everything, for `from_json`."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)

    @classmethod
    def from_json(cls, text: str) -> Grade:
        """ValueError for text that `to_json` did not write.

        >>> grade = Grade("ann", "a", "A", 1, (Mark("runs", 1, 2, ("too short",)),))
        >>> Grade.from_json(grade.to_json()) == grade
        True
        """
        try:
            found = json.loads(text)
            tuples = (
                {**mark, "reasons": tuple(mark["reasons"]), "hints": tuple(mark["hints"])} for mark in found["marks"]
            )
            return cls(**{**found, "marks": tuple(Mark(**mark) for mark in tuples)})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"this is no grade, as Grade.to_json writes it: {error!r}") from None


def _broken(line: str, columns: int) -> list[str]:
    """Into lines that stand below one another, as a terminal's own breaks do not."""
    if len(line) <= columns:
        return [line]
    start = "    - " if line.startswith("    - ") else "  "
    return textwrap.wrap(line, max(columns, 20), subsequent_indent=" " * len(start), break_long_words=False)
