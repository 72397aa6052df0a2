"""Leaderboard: a file of entries, one JSON object per line, that many may add to at once."""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...table import Table
from .results import GradedSubmission


class Leaderboard:
    """The best entry of each name, sorted by one figure. It shows itself as a table.

    Parameters
    ----------
    path : path
        Of the file, which is made with the first entry. Several may add to it at once.
    by : str, optional
        The figure to sort by; one whose name ends in "↓" is better when smaller. Default: the first figure of the first
        entry.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     board = Leaderboard(folder + "/board.jsonl")
    ...     board.add("ann", {"step, ms ↓": 4300.0})
    ...     board.add("bob", {"step, ms ↓": 4200.0})
    ...     print(board)
       name  step, ms ↓
    1  bob         4200
    2  ann         4300
    """

    def __init__(self, path: str | Path, *, by: str | None = None) -> None:
        self.path, self._by = Path(path), by

    def add(self, name: str, figures: Mapping[str, float]) -> None:
        """Append an entry. ValueError for a figure that is not a finite number."""
        for figure, value in figures.items():
            if not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{figure} must be a finite number; got {value!r}")
        line = json.dumps({"name": str(name), "figures": dict(figures)}, ensure_ascii=False)
        with open(self.path, "a", encoding="utf-8") as file:  # written when it is closed, which ends the lock
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(line + "\n")

    def add_grade(self, graded: GradedSubmission) -> bool:
        """Append the figures of a graded submission; False where it has none."""
        if graded.figures:
            self.add(graded.name, graded.figures)
        return bool(graded.figures)

    @property
    def by(self) -> str:
        return self._by or next((figure for entry in self._read() for figure in entry["figures"]), "")

    @property
    def entries(self) -> list[dict[str, Any]]:
        """Best first: each name's best entry. Those without the figure come last."""
        by = self.by
        sign = 1 if by.endswith("↓") else -1
        best: dict[str, dict[str, Any]] = {}
        for entry in sorted(self._read(), key=lambda entry: sign * entry["figures"].get(by, sign * math.inf)):
            best.setdefault(entry["name"], entry)
        return [*best.values()]

    def _read(self) -> list[dict[str, Any]]:
        """All entries, in the order of adding; a line that is none is passed over."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else ():
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                entry = json.loads(line)
                figures = {str(key): float(value) for key, value in entry["figures"].items()}
                found.append({"name": str(entry["name"]), "figures": figures})
        return found

    def table(self) -> Table[list[Any]]:
        """Place, name and figures of each entry."""
        entries = self.entries
        figures = [*dict.fromkeys(figure for entry in entries for figure in entry["figures"])]
        rows = [[place, entry["name"], *map(entry["figures"].get, figures)] for place, entry in enumerate(entries, 1)]
        return Table(rows, ["", "name", *figures], formats=dict.fromkeys(figures, ".5g"))

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
