"""Points: a number for a notebook's cell, from a grader that the notebook can't have changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def points(handin: str | Path, assignment: str, *, hints: int = 1) -> float:
    """The points of a hand-in, graded by a fresh process of `python -m pipelab grade`; its table is printed.

    For the last line of a cell that nbgrader grades: a number gives partial credit. What the notebook has redefined
    plays no part.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "results.json")
        line = [sys.executable, "-m", "pipelab", "grade", str(Path(handin).resolve()), "--assignment", assignment]
        package = str(Path(__file__).parents[2])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [*line, "--out", str(out), "--hints", str(hints)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        if not out.exists():
            raise ValueError(done.stderr.strip() or "grading failed")
        print(done.stdout)
        return float(json.loads(out.read_text())["score"])
