"""Leaderboard: a file of entries, one JSON object per line, that many may add to at once."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .marks import Grade

try:
    import fcntl
except ImportError:  # Windows: there, one writer at a time
    fcntl = None  # type: ignore[assignment]


class Leaderboard:
    """The best entry of each name, sorted by one figure. Shows itself in a notebook.

    path   of the file; it is made with the first entry
    by     the figure to sort by, as entries have it; one whose name ends in "↓" is better when smaller. None: the
           first figure of the first entry

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board = Leaderboard(folder + "/board.jsonl")
    ...     board.add("ann", {"step, ms ↓": 4300.0})
    ...     board.add("bob", {"step, ms ↓": 4200.0})
    ...     [entry["name"] for entry in board.entries]
    ['bob', 'ann']
    """

    def __init__(self, path: str | Path, by: str | None = None) -> None:
        self.path, self._by = Path(path), by

    def add(self, name: str, figures: Mapping[str, float]) -> None:
        """Append an entry. ValueError for figures that are no finite numbers."""
        for figure, value in figures.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{figure} must be a finite number; got {value!r}")
        line = json.dumps({"name": str(name), "figures": dict(figures)}, ensure_ascii=False).encode() + b"\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            while line:
                line = line[os.write(descriptor, line) :]
        finally:
            os.close(descriptor)

    def add_grade(self, grade: Grade) -> bool:
        """The figures of a graded hand-in; False where it has none."""
        if grade.figures:
            self.add(grade.name, grade.figures)
        return bool(grade.figures)

    @property
    def by(self) -> str:
        return self._by or next((figure for entry in self._read() for figure in entry["figures"]), "")

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Best first: each name's best entry. Those without the figure come last."""
        by = self.by
        worst = math.inf if by.endswith("↓") else -math.inf
        sign = 1 if by.endswith("↓") else -1

        def key(entry: dict[str, Any]) -> float:
            return sign * entry["figures"].get(by, worst)

        best: dict[str, dict[str, Any]] = {}
        for entry in self._read():
            if entry["name"] not in best or key(entry) < key(best[entry["name"]]):
                best[entry["name"]] = entry
        return sorted(best.values(), key=key)

    def _read(self) -> list[dict[str, Any]]:
        """All entries, in the order of adding; a line that is none is passed over."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            try:
                entry = json.loads(line)
                entry = {
                    "name": str(entry["name"]),
                    "figures": {str(key): float(value) for key, value in entry["figures"].items()},
                }
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
            found.append(entry)
        return found

    def _table(self) -> list[list[str]]:
        entries = self.entries
        figures = [*dict.fromkeys(figure for entry in entries for figure in entry["figures"])]
        rows = [
            [str(place), entry["name"], *(_text(entry["figures"].get(figure)) for figure in figures)]
            for place, entry in enumerate(entries, 1)
        ]
        return [["", "name", *figures], *rows]

    def __str__(self) -> str:
        table = self._table()
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
        )
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *rows = ["".join(map(_cell, range(len(row)), row)) for row in self._table()]
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(f'<tr>{row}</tr>' for row in rows)}</tbody></table>"
        )


def _cell(column: int, text: str) -> str:
    """Names to the left, where Jupyter would set everything to the right."""
    return f'<td style="text-align:{"left" if column == 1 else "right"}">{html.escape(text)}</td>'


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"
