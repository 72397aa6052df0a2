"""What every benchmark shares: its figures are rows of one table, printed for people or, with --json, for programs.

With --before CHECKOUT the same script runs with that checkout's pipelab, too: each figure stands beside what it was.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from pipelab.table import Table

Row = dict[str, Any]


def parser(description: str | None, **numbers: int) -> argparse.ArgumentParser:
    """The command line: --json, --before, and a whole number for each given name (its value is the default)."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--before", type=Path, metavar="CHECKOUT", help="an earlier checkout, whose figures are to stand beside"
    )
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default {default}")
    return parser


def arguments(description: str | None, **numbers: int) -> argparse.Namespace:
    """What was given on that command line."""
    return parser(description, **numbers).parse_args()


def show(options: argparse.Namespace, rows: Sequence[Row], note: str) -> None:
    """Print rows of equal keys. The note says how they were measured. Figures are floats; what they are of is not."""
    rows, amiss = beside(options, rows)
    if options.json:
        print(json.dumps({"note": f"{note}{amiss}", "rows": list(rows)}))
        return
    print(Table(rows, notes=[f"{note}{amiss}"]))


def beside(options: argparse.Namespace, rows: Sequence[Row]) -> tuple[Sequence[Row], str]:
    """The rows with what each figure was before, if that was asked for; and what there is to say of that."""
    if not options.before:
        return rows, ""
    earlier, amiss = _earlier(options.before.resolve())
    return _beside(rows, earlier), amiss


@cache
def _earlier(checkout: Path) -> tuple[list[Row], str]:
    """The rows of this script with that checkout's pipelab; none, and why, where it does not run with that."""
    if not (checkout / "pipelab").is_dir():
        raise SystemExit(f"--before {checkout}: there is no pipelab")
    only = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    only.add_argument("--before")
    command = [sys.executable, sys.argv[0], *only.parse_known_args()[1], "--json"]
    # By the path alone, in this process and those that it starts: none takes the pipelab of the folder that it is in.
    path = os.pathsep.join([str(checkout), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        return [], f"; before: {(done.stderr.strip().splitlines() or ['it failed'])[-1]}"
    return json.loads(done.stdout)["rows"], ""


def _beside(rows: Sequence[Row], earlier: Sequence[Row]) -> list[Row]:
    """The rows, with what each figure was and the ratio, where that is another. What comes before it tells a row."""
    figures = {name for row in rows for name, value in row.items() if isinstance(value, float) and "limit" not in name}

    def told_by(row: Row) -> tuple[Any, ...]:
        names = list(row)
        return tuple(row.items())[: min(map(names.index, figures & row.keys()), default=len(row))]

    left = list(earlier)
    was = []
    for row in rows:
        found = next((old for old in left if told_by(old) == told_by(row)), {})
        was.append(found)
        left = [old for old in left if old is not found]  # another row of the same kind has the next
    changed = {name for name in figures for row, old in zip(rows, was, strict=True) if row.get(name) != old.get(name)}

    def cells(row: Row, old: Row) -> Iterator[tuple[str, Any]]:
        for name, value in row.items():
            if name in changed:
                before = old.get(name, "–")
                both = isinstance(value, float) and isinstance(before, float) and before
                yield f"{name} before", before
                yield name, value
                yield f"{name} / before", value / before if both else "–"
            else:
                yield name, value

    return [dict(cells(*both)) for both in zip(rows, was, strict=True)]
