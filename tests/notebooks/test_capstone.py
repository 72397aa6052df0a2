"""The capstone's starters can be submitted as they are and leave something to do; the answers below them do not."""

import re
from pathlib import Path

import nbformat
import pytest

from pipelab.course import grade

CELLS = nbformat.read(Path(__file__).parents[2] / "notebooks" / "16_capstone.ipynb", as_version=4).cells


def starters() -> dict[str, str]:
    """What the lesson's cells write, by file."""
    written = (re.match(r"%%writefile mine/(\S+)\n(.*)", cell.source, re.DOTALL) for cell in CELLS)
    return {found[1]: found[2] for found in written if found}


def answers() -> dict[str, str]:
    schedule, balancer = re.findall(r"```python\n(.*?)```", "\n".join(cell.source for cell in CELLS), re.DOTALL)
    return {"schedule.py": schedule, "balancer.py": balancer}


@pytest.mark.parametrize("files", [starters, answers])
def test_starters_run_and_lose_points_and_answers_have_all(files, tmp_path: Path) -> None:
    for name, text in files().items():
        (tmp_path / name).write_text(text)
    found = grade(tmp_path, "leaderboard")
    tests = {test.name: test for test in found.tests}
    assert len(files()) == 2 and not found.foul
    assert found.passed == (files is answers), found
    assert tests["my_schedule can run"].full and tests["my_schedule trains on 4 real ranks"].full
    if files is starters:
        lost = [test for test in found.tests if not test.full]
        assert {test.name.split()[0] for test in lost} == {"my_schedule", "my_balancer"}
        assert all(test.reasons for test in lost)
