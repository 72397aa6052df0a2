"""Points: a number for a notebook's cell, from a grader that the notebook can't have changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path


def points(submission: str | Path, assignment: str, *, hints: int = 1) -> float:
    """Grade a submission in a fresh process of `python -m pipelab grade`, print its table, and return the points.

    It is for the last line of a cell that nbgrader grades: a number gives partial credit. What the notebook has
    redefined plays no part.

    Parameters
    ----------
    submission : path
        The file, or the folder that it is in.
    assignment : str
        Its name.
    hints : int
        0, 1 or 2, as for `grade`.

    Raises
    ------
    ValueError
        It could not be graded at all; with what the command said.

    Examples
    --------
    >>> folder = tempfile.TemporaryDirectory()
    >>> file = Path(folder.name, "order.py")
    >>> _ = file.write_text("my_order = lambda: ['dispatch(F)']")
    >>> points(file, "overlap-order")  # doctest: +ELLIPSIS
    Order the overlap (version 2): order
    ...
    0.0
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "results.json")
        line = [sys.executable, "-m", "pipelab", "grade", str(Path(submission).resolve()), "--assignment", assignment]
        line += ["--out", str(out), "--hints", str(hints)]
        path = filter(None, [str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH")])
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if not out.exists():
            raise ValueError(done.stderr.strip() or "grading failed")
        print(done.stdout)
        return float(json.loads(out.read_text())["score"])
