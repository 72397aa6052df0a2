"""Grading: right answers have all points; others say where each point went."""

from __future__ import annotations

import json

import pytest

from pipelab import build
from pipelab.course import ASSIGNMENTS, GradedSubmission, ScoredTest, grade
from pipelab.ir import to_csv
from tests.course.submissions import ZERO_BUBBLE, submission, write


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_a_good_submission_has_all_points(tmp_path, name):
    graded = grade(submission(tmp_path / "ann", name), name)
    assert graded.passed, graded
    assert graded.name == "ann"
    assert graded.score == graded.max_score == float(graded) == ASSIGNMENTS[name].points == 10
    if any(test.real for test in ASSIGNMENTS[name].tests):
        assert "gradients equal" in str(graded)


def test_partial_credit_with_reasons_and_hints(tmp_path):
    """W directly after I: it runs, and keeps little, but is slow."""
    file = write(tmp_path, ZERO_BUBBLE.replace("min(rank, microbatches)", "0"))
    graded, hinted, told = (grade(file, "fill-the-bubbles", hints=level, real=False) for level in (0, 1, 2))
    runs, fast, lean = graded.tests
    assert runs.full
    assert lean.full
    assert 0 < fast.score < fast.max_score
    assert "4 ranks, 8 micro-batches: it takes 30 units of time; zb-h1 takes 27; its longest gap" in fast.reasons[0]
    assert [len(each.tests[1].hints) for each in (graded, hinted, told)] == [0, 1, 2]
    assert not any(each.tests[0].hints for each in (graded, hinted, told))
    assert graded.max_score == 9  # without the run on real ranks
    assert fast.score == 2.5  # of 1F1B's way to ZB-H1: half at four sizes, 3/4 at (4, 2), all at (1, 3)


def test_what_improves_on_nothing_has_no_points_for_speed(tmp_path):
    """1F1B where its bubbles were to be filled; only one rank has none."""
    code = """
        def my_schedule(ranks, microbatches):
            programs = []
            for rank in range(ranks):
                F, B = ([f"{rank}{kind}{m}" for m in range(microbatches)] for kind in "FB")
                warmup = min(ranks - 1 - rank, microbatches)
                steady = [action for pair in zip(F[warmup:], B) for action in pair]
                programs.append(F[:warmup] + steady + B[microbatches - warmup :])
            return programs
    """
    runs, fast, _ = grade(write(tmp_path, code), "fill-the-bubbles", real=False).tests
    assert runs.full
    assert fast.score == round(fast.max_score / 6, 2)


def test_a_table_for_a_terminal(tmp_path):
    """Reasons and hints are broken under one another; nothing is lost."""
    code = ZERO_BUBBLE.replace("min(rank, microbatches)", "0")
    graded = grade(write(tmp_path, code), "fill-the-bubbles", hints=2, real=False)
    table = graded.table(width=80)
    assert max(map(len, table.splitlines())) <= 80 < max(map(len, str(graded).splitlines()))
    assert table.split() == str(graded).split()
    assert "zb-h1 takes 27; its\n      longest gap" in table


@pytest.mark.parametrize("name", ASSIGNMENTS)
def test_rows_fit_a_terminal(name):
    scored = [ScoredTest(test.name, 0.25, test.points) for test in ASSIGNMENTS[name].tests]
    assert max(map(len, str(GradedSubmission("ann", name, "title", 1, tuple(scored))).splitlines())) <= 80


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("my_schedule = 3", "schedule.py has no function my_schedule"),
        ("def my_schedule(ranks):\n    return []", "takes 1 positional argument"),
        (
            "def my_schedule(ranks, microbatches):\n    return None",
            "it returns None; one list of actions per rank is wanted",
        ),
        ("def my_schedule(ranks, microbatches):\n    return [[]] * 99", "it returns 99 lists; one per rank"),
        ("def my_schedule(ranks, microbatches):\n    return [[1]] * ranks", "'1' is not an action"),
        ("def my_schedule(ranks, microbatches):\n    return [['0F0'] * 9999] * ranks", "actions; "),
        ("def my_schedule(ranks, microbatches):\n    return [['0F0']] * ranks", "rank 1 has 0F0"),
        ("def my_schedule(ranks, microbatches):\n    return 1 / 0", "ZeroDivisionError: division by zero (line 2 of"),
        ("def my_schedule(ranks, microbatches):\n    return float('nan')", "no answer"),
        ("def my_schedule(ranks, microbatches:", "SyntaxError"),
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all' (line 1 of schedule.py)"),
        ("raise SystemExit", "schedule.py can't be loaded: SystemExit"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, code, said):
    graded = grade(write(tmp_path, code), "fill-the-bubbles")
    assert graded.score == 0
    assert said in str(graded)


def test_one_size_that_fails_costs_its_share_only(tmp_path):
    trap = '    def my_schedule(ranks, microbatches):\n        if ranks == 3:\n            raise ValueError("three?")\n'
    code = ZERO_BUBBLE.replace("    def my_schedule(ranks, microbatches):\n", trap)
    runs, fast, lean = grade(write(tmp_path, code), "fill-the-bubbles", real=False).tests
    assert runs.reasons[0].startswith("3 ranks, 5 micro-batches: ValueError: three? (line 4 of schedule.py)")
    assert runs.score == round(runs.max_score * 5 / 6, 2)


def test_a_table_answers_for_its_size(tmp_path):
    file = write(tmp_path, to_csv(build("zb-h1", 4, 8)), "ann.csv")
    graded = grade(file, "fill-the-bubbles")
    assert graded.name == "ann"
    assert graded.tests[-1].full  # trains on four ranks
    assert 0 < graded.score < graded.max_score
    assert "the table is for 4 ranks and 8 micro-batches only" in str(graded)
    assert "line 1: 'nonsense' is not an action" in str(grade(write(tmp_path, "nonsense", "b.csv"), "fill-the-bubbles"))


def test_a_grade_comes_back_from_json_and_is_gradescopes(tmp_path):
    graded = grade(write(tmp_path, ZERO_BUBBLE.replace("[I[m]]", "[W[m]]")), "fill-the-bubbles", hints=1)
    assert GradedSubmission.from_json(graded.to_json()) == graded
    result = json.loads(json.dumps(graded.gradescope(), allow_nan=False))
    assert (
        result["score"] == sum(test["score"] for test in result["tests"]) < sum(t["max_score"] for t in result["tests"])
    )
    assert {test["visibility"] for test in result["tests"]} == {"visible"}
    assert all(test["output"] for test in result["tests"] if test["score"] < test["max_score"])


def test_what_the_code_prints_is_handed_back(tmp_path):
    code = "def my_schedule(ranks, microbatches):\n    print('size', ranks, microbatches)"
    assert "printed:\nsize 4 8\nsize 2 2\n" in grade(write(tmp_path, code), "fill-the-bubbles").gradescope()["output"]


def test_a_grade_in_a_notebook_is_escaped(tmp_path):
    code = "def my_schedule(ranks, microbatches):\n    raise ValueError('<script>alert(1)</script>')"
    shown = grade(write(tmp_path, code), "fill-the-bubbles")._repr_html_()
    assert "0 of 10 points" in shown
    assert "<script>" not in shown


def test_names_and_paths_that_are_none(tmp_path):
    file = write(tmp_path, ZERO_BUBBLE)
    with pytest.raises(ValueError, match="no assignment is called 'lunch'; there are gpipe-and-1f1b"):
        grade(file, "lunch")
    with pytest.raises(FileNotFoundError, match="is not there"):
        grade(tmp_path / "nowhere.py", "fill-the-bubbles")
    with pytest.raises(ValueError, match="which wants schedule.py with my_schedule"):
        grade(write(tmp_path, "text", "notes.txt"), "fill-the-bubbles")
    with pytest.raises(ValueError, match="hints are of level 0, 1 or 2; got 3"):
        grade(file, "fill-the-bubbles", hints=3)
