"""What every benchmark shares: its figures are rows of one table, printed for people or, with --json, for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from pipelab.table import Table

Row = dict[str, Any]


def arguments(description: str | None, **numbers: int) -> argparse.Namespace:
    """The command line: --json, and a whole number for each given name (its value is the default)."""
    parser = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help=f"default {default}")
    return parser.parse_args()


def show(options: argparse.Namespace, rows: Sequence[Row], note: str) -> None:
    """Print rows of equal keys. The note says how they were measured."""
    if options.json:
        print(json.dumps({"note": note, "rows": list(rows)}))
        return
    print(Table(rows, notes=[note]))
