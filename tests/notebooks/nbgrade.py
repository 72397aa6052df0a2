"""What nbgrader makes of a course: `python nbgrade.py generate|autograde COURSE`, with a Python that has nbgrader.

generate makes the students' versions of all assignments in source/; autograde grades all that is in submitted/, and
prints the scores as JSON: student -> assignment -> points.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nbgrader.api import Gradebook
from nbgrader.apps.api import NbGraderAPI
from traitlets.config import PyFileConfigLoader


def main(what: str, folder: str) -> None:
    config = PyFileConfigLoader("nbgrader_config.py", path=folder).load_config()
    config.CourseDirectory.root = folder
    api = NbGraderAPI(config=config)
    scores: dict[str, dict[str, float]] = {}
    for path in sorted(Path(folder).glob("source/*" if what == "generate" else "submitted/*/*")):
        name, student = path.name, path.parent.name
        done = api.generate_assignment(name) if what == "generate" else api.autograde(name, student)
        if not done["success"]:
            sys.exit(f"{name}, {student}: {done['error'] or done['log']}")
        if what == "autograde":
            with Gradebook(f"sqlite:///{folder}/gradebook.db", "pipelab") as book:
                scores.setdefault(student, {})[name] = book.find_submission(name, student).score
    print(json.dumps(scores))


if __name__ == "__main__":
    main(*sys.argv[1:])
