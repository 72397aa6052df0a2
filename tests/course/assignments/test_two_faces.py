"""One judge a question: ✓ in a notebook exactly where the grader gives all points, and the same sentence where not."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelab import Costs
from pipelab.course import ASSIGNMENTS, Feedback, check_order, check_pack, check_replicate, check_schedule, grade
from pipelab.course.assignments import Test as RubricLine
from pipelab.course.checks.judge import Called, Judge
from tests.course.submissions import GOOD, write

RIGHT = Feedback(True, "Right")

#: assignment -> file -> what to change in a good answer, so that it is half-good or bad. In the rest it is as it was.
CHANGED: dict[str, dict[str, list[tuple[str, str]]]] = {
    "gpipe-and-1f1b": {
        "schedule.py": [
            ("min(ranks - 1 - rank, microbatches)", "min(ranks - rank, microbatches)"),
            ("min(ranks - 1 - rank, microbatches)", "ranks - 1 - rank"),
            ("for rank in range(ranks)]", "for rank in range(microbatches)]"),
            (
                '[f"{rank}F{m}" for m in every] + [f"{rank}B{m}" for m in every]',
                "[f\"{rank}{kind}{m}\" for m in every for kind in 'FB']",
            ),
            ("return programs", "return None"),
        ]
    },
    "fill-the-bubbles": {
        "schedule.py": [
            ("min(rank, microbatches)", "0"),
            ("min(rank, microbatches)", "microbatches"),
            ("if m >= late else []", "if m > late else []"),
            ("programs = []\n", "programs = []\n        if ranks > 6: return [[]] * ranks\n"),  # the largest size only
            ("programs = []\n", "programs = []\n        if ranks == 3: raise ValueError('three?')\n"),
            ("return programs", "return programs[1:]"),
        ]
    },
    "dualpipe": {
        "schedule.py": [
            ('"B", t, b1)\n                pair(f1, t, b0, s)', '"B", t, b1), whole("F", t, f1), whole("B", s, b0)'),
            ('whole("B", stage, stream)', "split(stage, stream)"),
            ("for _ in range(2 * deeper):", "for _ in range(2 * deeper - 1):"),
            ("OVERLAP_F_B", ""),
        ]
    },
    "overlap-order": {
        "order.py": [
            ('"attention(F)", "dispatch(F)", "experts(B)",', '"experts(B)", "attention(F)", "dispatch(F)",'),
            ('"attention(F)", "dispatch(F)",', '"dispatch(F)", "attention(F)",'),
            ('"combine(B)",', ""),
            ("return [", "return 3, ["),
        ]
    },
    "replicate-and-pack": {
        "balancer.py": [
            ("load[expert] / copies[expert]", "load[expert]"),
            ("load[expert] / copies[expert])]", "load[expert] / copies[expert]) if max(load) < 7 else 0]"),
            ("key=lambda item: -weights[item]", "key=lambda item: weights[item]"),
            ("gpu_of = my_pack([row[expert] / copies[expert]", "gpu_of = my_pack([row[expert]"),
            (
                "for row in load:",
                "for row in load / load.max(axis=1)[:, None]:\n            if row[0] != row[0]: return []",
            ),
            ("return gpu_of", "return gpu_of[1:]"),
            ("return copies", "from fractions import Fraction\n        return [*map(Fraction, copies)]"),
        ]
    },
    "leaderboard": {
        "schedule.py": [("half - deeper - 1)", "half - deeper - 2)"), ("range(rank + 1)", "range(rank + 2)")],
        "balancer.py": [('"refined"', '"greedy"'), ("return pipelab", "return None and pipelab")],
    },
}

ANSWERS = [
    pytest.param(name, changed, id=f"{name}-{number}")
    for name, files in CHANGED.items()
    for number, changed in enumerate([("", "", ""), *((file, *each) for file in files for each in files[file])])
]


def written(folder: Path, name: str, changed: tuple[str, str, str]) -> dict[str, Callable[..., Any]]:
    """The submission in a folder, and its functions as a notebook has them."""
    functions: dict[str, Any] = {}
    for file, code in GOOD[name].items():
        if file == changed[0]:
            assert changed[1] in code
            code = code.replace(changed[1], changed[2])
        write(folder, code, file)
        exec(textwrap.dedent(code), functions)
    return functions


@pytest.mark.filterwarnings("ignore:invalid value encountered")  # a student divides by no load
@pytest.mark.parametrize(("name", "changed"), ANSWERS)
def test_both_faces_say_the_same(tmp_path: Path, name: str, changed: tuple[str, str, str]) -> None:
    functions = written(tmp_path, name, changed)
    graded = {test.name: test for test in grade(tmp_path, name, real=False).tests}
    lines = [test for test in ASSIGNMENTS[name].tests if not test.real]
    assert {line.name for line in lines} == {*graded}
    for line in lines:
        said = notebook_face(line, functions)
        assert said.passed == graded[line.name].full, (said, graded[line.name])
        if not said:
            assert said.reasons[0] in "\n".join(graded[line.name].reasons)
    assert all(test.full for test in graded.values()) == (changed == ("", "", ""))


AS_SCHEDULE = """from types import SimpleNamespace as Object
        placement = Object(routes=(tuple(range(ranks)[::STEP]),))
        return Object(programs=programs, num_ranks=ranks, num_stages=ranks, num_microbatches=microbatches,
                      training=True, placement=placement)
"""


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (AS_SCHEDULE.replace("STEP", "1"), ""),
        (AS_SCHEDULE.replace("STEP", "-1"), "its stages lie on the ranks (3, 2, 1, 0); they belong on (0, 1, 2, 3)"),
        ("return {'programs': programs, 'ranks': 'x' * 10 ** 5}", f"its number of ranks is {'x' * 40}; 4 is wanted"),
    ],
    ids=["right", "other placement", "imitation"],
)
def test_a_schedule_is_judged_with_what_it_declares(tmp_path: Path, answer: str, reason: str) -> None:
    functions = written(tmp_path, "gpipe-and-1f1b", ("schedule.py", "return programs", answer))
    said = check_schedule(functions["my_1f1b"], like="1f1b", sizes=[(4, 8)])
    graded = grade(tmp_path, "gpipe-and-1f1b", real=False).tests[3]
    assert said.passed == graded.full == (not reason)
    if reason:
        assert said.reasons[0] == reason
        assert reason in graded.reasons[0]


def notebook_face(line: RubricLine, functions: dict[str, Callable[..., Any]]) -> Feedback:
    assert isinstance(line.judge, Judge)
    return line.judge.feedback(Called(functions), RIGHT)


EVEN = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12)

#: What lessons call -> the lines of a rubric that ask the same.
LESSONS: dict[str, tuple[str, Callable[[dict[str, Any]], Feedback], list[int]]] = {
    "02": ("gpipe-and-1f1b", lambda f: check_schedule(f["my_gpipe"], like="gpipe"), [0, 1]),
    "03": ("gpipe-and-1f1b", lambda f: check_schedule(f["my_1f1b"], like="1f1b", memory=True), [3, 4, 5]),
    "05": ("fill-the-bubbles", lambda f: check_schedule(f["my_schedule"], like="zb-h1", memory=True), [0, 1, 2]),
    "07": ("overlap-order", lambda f: check_order(f["my_order"](), EVEN), [0, 1]),
    "13, replicas": ("replicate-and-pack", lambda f: check_replicate(f["my_replicate"]), [0]),
    "13, packing": ("replicate-and-pack", lambda f: check_pack(f["my_pack"]), [1]),
}


@pytest.mark.parametrize("lesson", LESSONS)
def test_a_tick_in_a_lesson_means_full_points(tmp_path: Path, lesson: str) -> None:
    name, check, lines = LESSONS[lesson]
    ticks = []
    changes = [param.values[1] for param in ANSWERS if param.values[0] == name]
    for number, changed in enumerate(changes):
        functions = written(tmp_path / str(number), name, changed)
        said, graded = check(functions), grade(tmp_path / str(number), name, real=False)
        ticks.append(said.passed)
        assert said.passed == all(graded.tests[line].full for line in lines), (said, graded)
        if not said:
            assert any(said.reasons[0] in "\n".join(graded.tests[line].reasons) for line in lines), (said, graded)
    assert {*ticks} == {True, False}
