"""The command `grade`, as a person and as a program meet it."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.course.submissions import ZERO_BUBBLE, submission, write

NAME = "fill-the-bubbles"
SLOW = ZERO_BUBBLE.replace("min(rank, microbatches)", "0")


@pytest.fixture
def command(command):
    return partial(command, "grade")


def test_one_submission(command, tmp_path) -> None:
    file, out = write(tmp_path, SLOW), tmp_path / "autograder" / "results.json"
    status, said, _ = command(file, "--assignment", NAME, "--out", out, "--hints", 1)
    assert status == 0
    assert "± my_schedule as fast as zb-h1" in said
    assert "hint: the rank above waits for I" in said
    result = json.loads(out.read_text())
    assert 0 < result["score"] < 10
    assert [test["max_score"] for test in result["tests"]] == [3, 4, 2, 1]
    assert "zb-h1 takes 27" in result["tests"][1]["output"]


def test_a_folder(command, tmp_path) -> None:
    write(tmp_path / "submissions", SLOW, "ann.py")
    write(tmp_path / "submissions", "import", "bob.py")
    out = tmp_path / "results"
    status, said, err = command(tmp_path / "submissions", "--assignment", NAME, "--out", out)
    assert status == 0
    assert err.splitlines() == [f"1/2  ann: {json.loads((out / 'ann.json').read_text())['score']:g}", "2/2  bob: 0"]
    assert said.splitlines()[-1].startswith("2 submissions, ")
    _, _, err = command(tmp_path / "submissions", "--assignment", NAME, "--out", out)
    assert all(line.endswith("(as before)") for line in err.splitlines())
    _, said, err = command(tmp_path / "submissions", "--assignment", NAME, "--out", out, "--again", "--json")
    assert "as before" not in err
    assert json.loads(said)["bob"]["score"] == 0


def test_a_leaderboard(command, tmp_path) -> None:
    board = tmp_path / "board.jsonl"
    status, said, _ = command(
        submission(tmp_path / "ann", "leaderboard"), "--assignment", "leaderboard", "--leaderboard", board
    )
    assert status == 0
    assert said.splitlines()[-1].startswith("1  ann")
    assert json.loads(board.read_text())["figures"]["balancedness"] > 0.9


def test_it_says_that_it_is_no_sandbox(command) -> None:
    status, said, _ = command("--help")
    assert status == 0
    assert "NOT A SECURITY SANDBOX" in said


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["nowhere.py", "--assignment", NAME], "nowhere.py is not there"),
        (["FILE", "--assignment", "lunch"], "no assignment is called 'lunch'; there are"),
        (["FILE", "--assignment", "nowhere.py"], "nowhere.py, which should define ASSIGNMENT, is not there"),
        (["FILE", "--assignment", "FILE"], "ann.py defines no ASSIGNMENT"),
        (["FILE"], "the following arguments are required: --assignment"),
        (["FILE", "--assignment", NAME, "--seconds", "-1"], "--seconds must be above 0"),
        (["FILE", "--assignment", NAME, "--hints", "7"], "invalid choice: 7"),
        (["FOLDER", "--assignment", NAME], "needs --out FOLDER"),
        (["FOLDER", "--assignment", NAME, "--out", "FILE"], "is a file; a folder of submissions needs a folder"),
    ],
)
def test_bad_arguments(command, tmp_path, line, message) -> None:
    places = {"FILE": write(tmp_path / "submissions", SLOW, "ann.py"), "FOLDER": tmp_path / "submissions"}
    status, out, err = command(*(places.get(each, each) for each in line))
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("pipelab: ")
    assert len(err.splitlines()) == 1
