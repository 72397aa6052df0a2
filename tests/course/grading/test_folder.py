"""Folders of submissions, leaderboards, points: what an instructor does."""

from __future__ import annotations

import csv
import json
import threading
from pathlib import Path

import pytest

from pipelab import build
from pipelab.cli import main
from pipelab.course import Leaderboard, grade, grade_folder, points
from pipelab.course.assignments import assignment
from pipelab.course.grading.submissions import Submission, find_submissions
from pipelab.ir import to_csv
from pipelab.ranks import Progress
from tests.course.submissions import ZERO_BUBBLE, submission, write

NAME = "fill-the-bubbles"
SLOW = ZERO_BUBBLE.replace("min(rank, microbatches)", "0")


@pytest.fixture
def submissions(tmp_path) -> Path:
    """Submissions as they come: folders, files of any name, a table, and some that are none."""
    folder = tmp_path / "submissions"
    write(folder / "ann", ZERO_BUBBLE)
    write(folder, SLOW, "bob.py")
    write(folder, to_csv(build("zb-h1", 4, 8)), "cem.csv")
    write(folder, "import os\nos._exit(1)", "dan.py")
    (folder / "empty").mkdir()
    write(folder, "not a submission", "notes.txt")
    (folder / "binary.py").write_bytes(b"\x00\xff\xfe")
    return folder


def graded_now(told: list[Progress]) -> list[str]:
    """Whom a call has graded that had no grade from before."""
    return [where.partition(":")[0] for at in told for where in at.where if "as before" not in where]


def test_a_folder_of_submissions(submissions, tmp_path):
    """Each is graded, each is written at once, and the next call grades what has changed only."""
    seen = []
    results = tmp_path / "results"
    grades = grade_folder(submissions, NAME, results, progress=seen.append)
    assert [each.name for each in grades] == ["ann", "binary", "bob", "cem", "dan", "empty"]
    assert [(at.done, at.total, "as before" in at.where[0]) for at in seen] == [(n, 6, False) for n in range(1, 7)]
    score = {each.name: each.score for each in grades}
    assert score["ann"] == 10
    assert score["binary"] == score["dan"] == score["empty"] == 0
    assert 0 < score["cem"] < score["bob"] < 10
    assert json.loads((results / "bob.json").read_text())["score"] == score["bob"]
    rows = {row["name"]: row for row in csv.DictReader((results / "summary.csv").open())}
    assert {name: float(row["score"]) for name, row in rows.items()} == score
    assert rows["ann"]["my_schedule can run"] == "3"

    write(submissions, ZERO_BUBBLE, "dan.py")
    (results / "cem.grade.json").write_text('{"of": "cut o')  # as a crash might leave it
    seen.clear()
    grades = grade_folder(submissions, NAME, results, progress=seen.append)
    assert graded_now(seen) == ["cem", "dan"]
    assert {each.name: each.score for each in grades} == {**score, "dan": 10}

    seen.clear()
    grade_folder(submissions, NAME, results, again=True, progress=seen.append)
    assert not any("as before" in at.where[0] for at in seen)


def test_a_grader_that_fails_is_no_grade(submissions, tmp_path, monkeypatch):
    """The rest is graded; this one is tried again by the next call."""
    real = grade

    def fails_for_bob(path, *arguments, **options):
        if Path(path).stem == "bob":
            raise RuntimeError("disk full")
        return real(path, *arguments, **options, real=False)

    monkeypatch.setattr("pipelab.course.grading.folder.grade", fails_for_bob)
    grades = {each.name: each for each in grade_folder(submissions, NAME, tmp_path / "results")}
    assert "it could not be graded: RuntimeError: disk full" in grades["bob"].foul
    assert grades["ann"].passed
    monkeypatch.undo()
    done = []
    grade_folder(submissions, NAME, tmp_path / "results", progress=done.append)
    assert graded_now(done) == ["bob"]


def test_what_is_found(submissions, tmp_path):
    wanted = assignment(NAME)
    assert find_submissions(submissions / "ann", wanted) == [submissions / "ann"]
    assert [path.name for path in find_submissions(submissions, wanted)] == [
        "ann",
        "binary.py",
        "bob.py",
        "cem.csv",
        "dan.py",
        "empty",
    ]
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="has no submission for fill-the-bubbles, which wants schedule.py"):
        find_submissions(tmp_path / "none", wanted)
    before = Submission.at(submissions / "ann", wanted).content
    write(submissions / "ann", "x = 1", "helper.py")
    assert Submission.at(submissions / "ann", wanted).content != before
    (submissions / "ann" / "link.py").symlink_to("/etc/passwd")
    (submissions / "ann" / "__pycache__").mkdir()
    assert [*Submission.at(submissions / "ann", wanted).files] == ["helper.py", "schedule.py"]
    for number in range(201):
        (submissions / "ann" / f"{number}.txt").write_text("")
    with pytest.raises(ValueError, match="no submission is that large"):
        Submission.at(submissions / "ann", wanted)


@pytest.mark.parametrize("name", ["ann.py", "notes.txt", ""])
def test_one_result_is_for_one_submission(tmp_path, name):
    """What Gradescope hands over is a submission, whatever is in it: its results.json says what is missing."""
    submission, out = tmp_path / "submission", tmp_path / "results.json"
    submission.mkdir()
    if name:
        write(submission, ZERO_BUBBLE, name)
    assert main(["grade", str(submission), "--assignment", NAME, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["score"] == 0
    assert "schedule.py was not submitted" in result["tests"][0]["output"]


def test_tables_of_several_sizes(tmp_path):
    for size in ((4, 8), (8, 20)):
        write(tmp_path, to_csv(build("zb-h1", *size)), f"schedule-{size[0]}.csv")
    runs = grade(tmp_path, NAME, real=False).tests[0]
    assert runs.score == round(runs.max_score * 2 / 6, 2)


def test_points_for_nbgrader(tmp_path, capsys, monkeypatch):
    """A float, from a process that what is patched here does not reach."""
    monkeypatch.setattr("pipelab.course.grading.grader.grade", lambda *a, **k: 10)
    file = write(tmp_path, SLOW)
    scored = points(file, NAME)
    assert isinstance(scored, float)
    assert 0 < scored < 10
    out, err = capsys.readouterr()
    assert "zb-h1 takes 27" in out
    assert err == ""  # nbgrader takes anything here for a failure
    with pytest.raises(ValueError, match="lunch"):
        points(file, "lunch")


def test_the_leaderboard_of_an_assignment(tmp_path):
    graded = grade(submission(tmp_path / "ann", "leaderboard"), "leaderboard", real=False)
    assert [*graded.figures] == ["step, ms ↓", "bubble, % ↓", "activations ↓", "balancedness"]
    entries = {entry["name"]: entry for entry in graded.gradescope()["leaderboard"]}
    assert entries["step, ms"]["order"] == "asc"
    assert entries["balancedness"]["order"] == "desc"
    write(tmp_path / "bob", to_csv(build("zb-v", 8, 24)), "schedule.csv")
    other = grade(tmp_path / "bob", "leaderboard", real=False)
    board = Leaderboard(tmp_path / "board.jsonl")
    assert board.add_grade(other)
    assert board.add_grade(graded)
    assert not board.add_grade(grade(write(tmp_path / "none", "pass"), "leaderboard", real=False))
    assert [entry["name"] for entry in board.entries] == ["ann", "bob"]
    assert Leaderboard(board.path, by="bubble, % ↓").entries[0]["name"] == "bob"
    assert Leaderboard(board.path, by="balancedness").entries[0]["name"] == "ann"  # bob has none
    assert str(board).splitlines()[1].startswith("1  ann")


def test_a_leaderboard_keeps_the_best_and_survives_what_is_no_entry(tmp_path):
    board = Leaderboard(tmp_path / "board.jsonl")
    assert board.entries == []
    assert str(board) == "  name"
    for name, value in (("<b>ann", 3), ("bob", 2), ("<b>ann", 1), ("bob", 4)):
        board.add(name, {"time ↓": value})
    with board.path.open("a") as file:
        file.write('{"name": "cut o\n[]\n{"name": 3}\n')
    assert [(entry["name"], entry["figures"]["time ↓"]) for entry in board.entries] == [("<b>ann", 1), ("bob", 2)]
    assert "<b>ann" not in board._repr_html_()
    with pytest.raises(ValueError, match="must be a finite number; got nan"):
        board.add("cem", {"time ↓": float("nan")})


def test_many_add_to_a_leaderboard_at_once(tmp_path):
    board = Leaderboard(tmp_path / "board.jsonl")

    def add(number: int) -> None:
        for each in range(20):
            board.add(f"{number}-{each}" + "x" * 5000, {"score": each})

    threads = [threading.Thread(target=add, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(board.entries) == 160
