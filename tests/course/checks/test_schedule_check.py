"""Exercises' checks: right answers pass, wrong ones are told what is wrong."""

from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from pipelab import Action, Costs, Schedule, build, simulate
from pipelab.course import Feedback, check_number, check_schedule
from pipelab.ir import Placement, bidirectional, linear, to_csv, v_shape
from pipelab.schedules import gpipe, naive, one_f_one_b

# -- Feedback ----------------------------------------------------------------------------------------------------------


def test_feedback_shows_its_reasons():
    feedback = Feedback(False, "Not yet", ("too long", "too wide"))
    assert not feedback
    assert str(feedback) == repr(feedback) == "✗ Not yet\n  - too long\n  - too wide"
    assert str(Feedback(True, "Right")) == "✓ Right"


@pytest.mark.parametrize("passed", [True, False])
def test_feedback_in_a_notebook(passed):
    shown = Feedback(passed, "<b>title</b>", ("a < b & 'c'", "<script>alert(1)</script>"))._repr_html_()
    assert ("✓" in shown, "✗" in shown) == (passed, not passed)
    assert "&lt;b&gt;title&lt;/b&gt;" in shown
    assert "<li>a &lt; b &amp; &#x27;c&#x27;</li>" in shown
    assert "<script>" not in shown


def test_a_students_own_text_is_escaped():
    def builder(ranks, microbatches):
        raise RuntimeError("<img src=x onerror=alert(1)>")

    for feedback in (check_schedule(builder, like="gpipe"), check_number("<script>", 1, why="")):
        assert not feedback
        assert "<img" not in feedback._repr_html_()
        assert "<script>" not in feedback._repr_html_()
    assert "<ul>" not in Feedback(True, "no reasons, no list")._repr_html_()


# -- check_number ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [0.75, 3 / 4, Fraction(3, 4), np.float32(0.75), torch.tensor(0.75), "0.75", 0.7501])
def test_a_right_number_is_told_why(answer):
    feedback = check_number(answer, 0.75, why="three of four ranks wait", hint="count the ranks that wait")
    assert feedback
    assert feedback.reasons == ("three of four ranks wait",)


@pytest.mark.parametrize(
    ("answer", "said"),
    [(0.7, "0.7 is too small"), (1, "1 is too large"), (-0.75, "-0.75 is too small"), (inf, "inf is too large")]
    + [(-inf, "-inf is too small"), (nan, "NaN is no answer"), (10**400, "inf is too large")]
    + [(-(10**400), "-inf is too small")],
)
def test_a_wrong_number_is_told_in_which_direction(answer, said):
    feedback = check_number(answer, 0.75, why="three of four ranks wait", hint="count the ranks that wait")
    assert (feedback.passed, feedback.title) == (False, said)
    assert feedback.reasons == ("count the ranks that wait",)  # and not yet why


@pytest.mark.parametrize("answer", [None, ...])
def test_no_number_yet(answer):
    feedback = check_number(answer, 0.75, why="three of four ranks wait", hint="count")
    assert (feedback.passed, feedback.title) == (False, "No answer yet")
    assert "put a number in the place of the dots" in str(feedback)


@pytest.mark.parametrize("answer", ["three quarters", [0.75, 1], (), {}, 1j, torch.ones(2), np.ones(3), len])
def test_what_is_no_number(answer):
    feedback = check_number(answer, 0.75, why="three of four ranks wait", hint="one number")
    assert not feedback
    assert feedback.title == f"{answer!r} is not a number"
    assert feedback.reasons == ("one number",)
    assert check_number(answer, 0.75, why="").reasons == ()


@given(st.floats(-1e6, 1e6), st.floats(0.001, 0.5))
def test_the_tolerance_is_relative(expected, tolerance):
    near, far = expected * (1 + 0.99 * tolerance), expected * (1 + 1.5 * tolerance)
    assert check_number(expected, expected, why="", tolerance=tolerance)
    if abs(expected) > 1e-300:
        assert check_number(near, expected, why="", tolerance=tolerance)
        assert not check_number(far, expected, why="", tolerance=tolerance / 1.5)


def test_the_tolerance_is_absolute_where_nothing_is_expected():
    assert check_number(0.009, 0, why="")
    assert not check_number(0.011, 0, why="")
    assert check_number(0, 0, why="", tolerance=0)


# -- check_schedule ----------------------------------------------------------------------------------------------------

NAMED = {"naive": naive, "gpipe": gpipe, "1f1b": one_f_one_b}


def as_text(builder):
    """What a student writes: one list of texts per rank."""
    return lambda p, m: [line.split(",") for line in to_csv(builder(p, m)).splitlines()]


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("memory", [False, True])
def test_the_schedule_itself_passes(name, memory):
    for builder in (NAMED[name], as_text(NAMED[name]), lambda p, m: NAMED[name](p, m).programs):
        feedback = check_schedule(builder, like=name, memory=memory)
        assert feedback
        assert feedback.title == f"Right: as good as {name}"
        assert "4×8" in feedback.reasons[0]


def test_generators_will_do():
    assert check_schedule(lambda p, m: ((a for a in program) for program in gpipe(p, m).programs), like="gpipe")


def test_as_fast_in_another_order_is_as_good():
    assert check_schedule(gpipe, like="1f1b")
    assert check_schedule(one_f_one_b, like="gpipe", memory=True)


def test_too_slow_is_told_with_the_longest_gap():
    feedback = check_schedule(naive, like="gpipe")
    assert feedback.title == "Valid, but not gpipe yet, with 4 ranks and 8 micro-batches"
    assert feedback.reasons[0] == "it takes 96 units of time; gpipe takes 33"
    assert "its longest gap, from 1 to 10: rank 0 waits for 1B0 from rank 1" in feedback.reasons


def test_too_much_memory_is_told_rank_by_rank():
    feedback = check_schedule(gpipe, like="1f1b", memory=True)
    assert feedback.title == "Valid, but not 1f1b yet, with 4 ranks and 8 micro-batches"
    assert feedback.reasons == (
        "rank 0 holds 8 activations at once; 4 are enough",
        "rank 1 holds 8 activations at once; 3 are enough",
        "rank 2 holds 8 activations at once; 2 are enough",
        "rank 3 holds 8 activations at once; 1 is enough",
    )


def test_every_size_is_tried():
    """Right where M is not below P only."""

    def short_sighted(ranks, microbatches):
        return gpipe(ranks, microbatches) if microbatches >= ranks else naive(ranks, microbatches)

    feedback = check_schedule(short_sighted, like="gpipe")
    assert feedback.title == "Valid, but not gpipe yet, with 4 ranks and 2 micro-batches"
    assert check_schedule(short_sighted, like="gpipe", sizes=[(2, 2), (2, 9)])


def test_costs_decide():
    """Where nothing takes time, all orders are as fast."""
    assert not check_schedule(naive, like="gpipe")
    assert check_schedule(naive, like="gpipe", costs=Costs(forward=0, backward_input=0, backward_weight=0))
    slow_link = Costs(forward=0, backward_input=0, backward_weight=0, latency=1)
    assert not check_schedule(naive, like="gpipe", costs=slow_link)


def test_rounding_is_no_slowness():
    """The same sums in another order: in floats, 1F1B takes 1e-15 longer than GPipe."""
    costs = Costs(0.1, 0.1, 0.1)
    assert simulate(one_f_one_b(4, 8), costs).makespan > simulate(gpipe(4, 8), costs).makespan
    assert check_schedule(one_f_one_b, like="gpipe", costs=costs)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda programs: [programs[0][1:], *programs[1:]], "rank 0 never does 0F0"),
        (lambda programs: [programs[0] + ["0F0"], *programs[1:]], "0F0 is there 2 times; once is right"),
        (lambda programs: [programs[0] + ["1F0"], *programs[1:]], "this stage of this micro-batch is on rank 1"),
        (lambda programs: [programs[0][::-1], *programs[1:]], "rank 0 does 0B7 before 0F7, which it needs"),
        (lambda programs: [programs[0] + ["0F99"], *programs[1:]], "there are only micro-batches 0 to 7"),
        (lambda programs: [[], *programs[1:]], "… and 11 more"),
    ],
)
def test_what_can_not_run_is_told_why(change, said):
    feedback = check_schedule(lambda p, m: change(as_text(gpipe)(p, m)), like="gpipe")
    assert feedback.title == "Not a valid schedule yet, with 4 ranks and 8 micro-batches"
    assert any(said in reason for reason in feedback.reasons)


def test_a_deadlock_is_told():
    """Rank 0 wants micro-batch 0 back before it sends micro-batch 1; rank 1 wants both first."""

    def builder(ranks, microbatches):
        return [["0F0", "0B0", "0F1", "0B1"], ["1F0", "1F1", "1B0", "1B1"]]

    feedback = check_schedule(builder, like="1f1b", sizes=[(2, 2)])
    assert feedback.title == "Not a valid schedule yet, with 2 ranks and 2 micro-batches"
    assert "rank 1 waits at 1F1 for 0F1 from rank 0, which never comes" in feedback.reasons


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        (lambda p, m: None, "it returns None; one list of actions per rank is wanted"),
        (lambda p, m: 1 / 0, "ZeroDivisionError: division by zero"),
        (lambda p: [], "TypeError"),
        (lambda p, m: 7, "it returns 7; one list of actions per rank is wanted"),
        (lambda p, m: [["0F0", "0X0"]] * p, "'0X0' is not an action; actions look like"),
        (lambda p, m: ["0F0 0B0"] * p, "one list of actions per rank is wanted"),
        (lambda p, m: [[]] * (p + 1), "it returns 5 lists; one per rank is wanted, 4"),
        (lambda p, m: [[3]] * p, "'3' is not an action"),
    ],
)
def test_a_function_that_fails_is_told_how(builder, said):
    feedback = check_schedule(builder, like="gpipe")
    assert feedback.title == "Your function fails with 4 ranks and 8 micro-batches"
    assert any(said in reason for reason in feedback.reasons)


def forward_only(ranks, microbatches):
    programs = [[Action("F", rank, m) for m in range(microbatches)] for rank in range(ranks)]
    return Schedule("mine", linear(ranks), microbatches, programs, training=False)


def with_placement(placement_of):
    return lambda p, m: Schedule("mine", placement_of(p), m, [[]] * p)


@pytest.mark.parametrize(
    ("builder", "said"),
    [
        (lambda p, m: gpipe(1, m), "its number of ranks is 1; 4 is wanted"),
        (lambda p, m: gpipe(p, 1), "its number of micro-batches is 1; 8 is wanted"),
        (with_placement(v_shape), "its number of stages is 8; 4 is wanted"),
        (with_placement(bidirectional), "its stages lie on the ranks (0, 1, 2, 3) and (3, 2, 1, 0)"),
        (
            with_placement(lambda p: Placement("custom", (range(p - 1, -1, -1),))),
            "its stages lie on the ranks (3, 2, 1, 0); they belong on (0, 1, 2, 3)",
        ),
        (forward_only, "it is forward only; training needs the backwards, too"),
    ],
)
def test_the_schedule_of_a_smaller_pipeline_is_no_answer(builder, said):
    """It may well take less time."""
    feedback = check_schedule(builder, like="1f1b")
    assert feedback.title == "Not the schedule that was asked for, with 4 ranks and 8 micro-batches"
    assert any(reason.startswith(said) for reason in feedback.reasons)


def test_an_instructors_mistake_is_no_students():
    with pytest.raises(ValueError, match="no schedule is called 'pipe'"):
        check_schedule(gpipe, like="pipe")


@given(st.sampled_from(sorted(NAMED)), st.integers(1, 5), st.integers(1, 6))
def test_an_own_schedule_is_measured_like_the_named_one(name, ranks, microbatches):
    other = build(name, ranks, microbatches)
    assert check_schedule(lambda p, m: other, like=name, memory=True, sizes=[(ranks, microbatches)])
