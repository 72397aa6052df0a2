"""check: nothing wrong passes, nothing right is refused, and every reason is the true one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from pipelab.ir import (
    Action,
    Schedule,
    ScheduleError,
    bidirectional,
    check,
    from_csv,
    linear,
    looped,
    lower,
    require_valid,
)
from pipelab.schedules import SCHEDULES, gpipe, naive, one_f_one_b

from .generate import mutated, valid_schedules, with_program
from .reference import is_valid


def codes(schedule: Schedule) -> set[str]:
    return {problem.code for problem in check(schedule)}


def parse(*programs: str) -> tuple[tuple[Action, ...], ...]:
    return tuple(tuple(map(Action.parse, program.split())) for program in programs)


@given(valid_schedules())
@settings(max_examples=200)
def test_right_schedules_pass(schedule):
    assert is_valid(schedule)  # the generator's promise
    assert check(schedule) == ()


@given(st.data())
@settings(max_examples=400)
def test_it_refuses_exactly_what_is_wrong(data):
    schedule = data.draw(mutated(data.draw(valid_schedules(max_ranks=3, max_microbatches=3))))
    assert (check(schedule) == ()) == is_valid(schedule)


@given(st.data())
def test_every_problem_is_one_plain_sentence_about_a_rank(data):
    schedule = data.draw(mutated(data.draw(valid_schedules(max_ranks=3, max_microbatches=3))))
    for problem in check(schedule):
        assert problem.code in {"unknown", "duplicate", "misplaced", "missing", "order", "deadlock"}
        assert 0 <= problem.rank < schedule.num_ranks
        assert str(problem.action) in problem.message == str(problem)
        assert "\n" not in problem.message
        if problem.waits_for is not None:
            assert str(problem.waits_for) in problem.message


# -- each way to be wrong, and its reason ------------------------------------------------------------------------------

every_action = [(name, rank, position) for name in SCHEDULES for rank in range(4) for position in (0, 3, 5)]


@pytest.mark.parametrize(("name", "rank", "position"), every_action)
def test_removed(name, rank, position):
    schedule = SCHEDULES[name](4, 8)
    program = schedule.programs[rank]
    gone = program[position]
    (problem,) = check(with_program(schedule, rank, program[:position] + program[position + 1 :]))
    assert (problem.code, problem.rank, problem.action) == ("missing", rank, gone)
    assert problem.message == f"rank {rank} never does {gone}"


@pytest.mark.parametrize(("name", "rank", "position"), every_action)
def test_doubled(name, rank, position):
    schedule = SCHEDULES[name](4, 8)
    program = schedule.programs[rank]
    twice = program[position]
    problems = check(with_program(schedule, rank, (*program, twice)))
    assert [(p.code, p.rank, p.action) for p in problems] == [("duplicate", rank, twice)]
    assert "2 times" in problems[0].message


@pytest.mark.parametrize(("name", "rank", "position"), every_action)
def test_moved_to_another_rank(name, rank, position):
    schedule = SCHEDULES[name](4, 8)
    program, target = schedule.programs[rank], (rank + 1) % 4
    moved = program[position]
    wrong = with_program(schedule, rank, program[:position] + program[position + 1 :])
    wrong = with_program(wrong, target, (*wrong.programs[target], moved))
    assert ("misplaced", target, moved) in [(p.code, p.rank, p.action) for p in check(wrong)]
    assert "missing" not in codes(wrong)
    assert f"is on rank {rank}" in next(p.message for p in check(wrong) if p.code == "misplaced")


def test_a_backward_before_its_forward():
    wrong = from_csv("0F0,0B0\n1B0,1F0")
    (problem,) = check(wrong)
    assert (problem.code, problem.rank, str(problem.action), str(problem.waits_for)) == ("order", 1, "1B0", "1F0")


def test_weights_before_input():
    (problem,) = check(from_csv("0F0,0W0,0I0"))
    assert (problem.code, str(problem.action), str(problem.waits_for)) == ("order", "0W0", "0I0")


def test_two_stages_of_one_rank_in_the_wrong_order():
    (problem,) = check(Schedule("mine", looped(1, 2), 1, parse("1F0 0F0 1B0 0B0")))
    assert (problem.code, str(problem.action), str(problem.waits_for)) == ("order", "1F0", "0F0")


@pytest.mark.parametrize("second", ["0B0", "0I0 0W0"])
def test_whole_and_split_backward_are_one_too_many(second):
    problems = check(Schedule("mine", linear(1), 1, parse(f"0F0 0B0 {second}")))
    assert {p.code for p in problems} == {"duplicate"}


def test_half_a_backward_is_missing():
    (problem,) = check(Schedule("mine", linear(1), 1, parse("0F0 0I0")))
    assert (problem.code, str(problem.action)) == ("missing", "0W0")


def test_ranks_that_wait_for_each_other():
    """Rank 0 wants the backward of micro-batch 1 first, rank 1 that of micro-batch 0."""
    wrong = Schedule("mine", linear(2), 2, parse("0F0 0B0 0F1 0B1", "1F0 1F1 1B0 1B1"))
    problems = check(wrong)
    assert [(p.code, p.rank, str(p.action), str(p.waits_for)) for p in problems] == [
        ("deadlock", 0, "0B0", "1B0"),
        ("deadlock", 1, "1F1", "0F1"),
    ]
    assert problems[1].message == "rank 1 waits at 1F1 for 0F1 from rank 0, which never comes"


def test_a_rank_behind_a_deadlock_is_reported_with_what_it_waits_for():
    wrong = Schedule("mine", linear(3), 2, parse("0F0 0B0 0F1 0B1", "1F0 1F1 1B0 1B1", "2F0 2B0 2F1 2B1"))
    assert [(p.rank, str(p.action), str(p.waits_for)) for p in check(wrong)] == [
        (0, "0B0", "1B0"),
        (1, "1F1", "0F1"),
        (2, "2F1", "1F1"),
    ]


def test_overlapped_pairs_that_need_each_other():
    """Rank 0's backward needs rank 1's pair, whose forward needs rank 0's pair."""
    fused = parse("0F0 (0F1;0B0)OVERLAP_F_B 0B1", "1F0 (1F1;1B0)OVERLAP_F_B 1B1")
    assert codes(Schedule("mine", linear(2), 2, fused)) == {"deadlock"}
    apart = parse("0F0 (0F1;0B0)OVERLAP_F_B 0B1", "1F0 1B0 1F1 1B1")
    assert check(Schedule("mine", linear(2), 2, apart)) == ()


def test_a_pair_of_one_microbatch_on_one_stage():
    (problem,) = check(Schedule("mine", linear(1), 1, parse("(0F0;0B0)OVERLAP_F_B")))
    assert problem.code == "order"
    assert problem.message == "rank 0 does 0B0 together with 0F0, which it needs"


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        (Action("F", 2, 0), "only stages 0 to 1"),
        (Action("F", -1, 0), "only stages 0 to 1"),
        (Action("B", 0, 4), "only micro-batches 0 to 3"),
        (Action("B", 0, -1), "only micro-batches 0 to 3"),
        (Action("F", 0.5, 0), "only stages 0 to 1"),
        (Action("F", 0, None), "only micro-batches 0 to 3"),
        (Action("F", "0", 0), "only stages 0 to 1"),
        (Action("F", True, 0), "only stages 0 to 1"),
        (Action("F", 0, False), "only micro-batches 0 to 3"),
        (Action("X", 0, 0), "no kind of action"),
        (Action("OVERLAP_F_B", 0, 0), "no kind of action"),
        (Action("SEND_F", 7, 0), "only stages 0 to 1"),
        (Action("RECV_B", 0, 99), "only micro-batches 0 to 3"),
        (Action("OVERLAP_F_B", 0, 0, (Action("F", 0, 0), Action("F", 0, 1))), "one F and one B or I"),
        (Action("OVERLAP_F_B", 0, 0, (Action("B", 0, 0), Action("F", 0, 1))), "one F and one B or I"),
        (Action("F", 0, 0, (Action("F", 0, 0), Action("B", 0, 1))), "one F and one B or I"),
        (Action("OVERLAP_F_B", 0, 0, (Action("F", 0, 0), Action("B", 0, 9))), "only micro-batches 0 to 3"),
    ],
)
def test_unknown(action, reason):
    schedule = gpipe(2, 4)
    problems = check(with_program(schedule, 0, (*schedule.programs[0], action)))
    assert [problem.code for problem in problems] == ["unknown"]
    assert reason in problems[0].message


def test_a_forward_only_schedule_has_no_backward():
    forward = replace(gpipe(2, 1), programs=parse("0F0", "1F0"), training=False)
    assert check(forward) == ()
    assert codes(replace(forward, programs=parse("0F0", "1F0 1B0"))) == {"unknown"}
    assert codes(replace(forward, programs=parse("0F0", ""))) == {"missing"}


def test_all_problems_are_reported_at_once():
    wrong = Schedule("mine", linear(2), 2, parse("0F0 0F0 0B0 0B1", "1F0 1B0 1B1 1F1 0F1"))
    found = {(p.code, p.rank, str(p.action)) for p in check(wrong)}
    assert {("duplicate", 0, "0F0"), ("misplaced", 1, "0F1"), ("order", 1, "1B1")} <= found


def test_an_empty_schedule_misses_everything():
    assert len(check(Schedule("mine", linear(2), 3, ((), ())))) == 12


def test_the_error_holds_and_shows_the_problems():
    wrong = Schedule("mine", linear(2), 8, ((), ()))
    with pytest.raises(ScheduleError, match="schedule 'mine' can't run: 32 problems") as error:
        require_valid(wrong)
    assert error.value.problems == check(wrong)
    assert "rank 0 never does 0F0" in str(error.value)
    assert "and 22 more" in str(error.value)
    assert len(str(error.value).splitlines()) == 12


def test_the_error_survives_the_way_from_another_process():
    import pickle

    with pytest.raises(ScheduleError) as error:
        require_valid(Schedule("mine", linear(1), 1, ((),)))
    again = pickle.loads(pickle.dumps(error.value))
    assert (str(again), again.problems) == (str(error.value), error.value.problems)


# -- written by hand ---------------------------------------------------------------------------------------------------

BIDIRECTIONAL = Schedule("both ends", bidirectional(2), 2, parse("0F0 1F1 1B1 0B0", "0F1 1F0 1B0 0B1"))
DUALPIPE_LIKE = Schedule(
    "both ends, overlapped",
    bidirectional(2),
    4,
    parse(
        "0F0 0F1 1F2 (1F3;1I2)OVERLAP_F_B 1W2 1B3 0B0 0B1",
        "0F2 0F3 1F0 (1F1;1I0)OVERLAP_F_B 1W0 1B1 0B2 0B3",
    ),
)


@pytest.mark.parametrize("schedule", [BIDIRECTIONAL, DUALPIPE_LIKE])
def test_bidirectional_schedules(schedule):
    assert check(schedule) == ()
    crossed = replace(schedule, programs=schedule.programs[::-1])
    assert "misplaced" in codes(crossed)


# -- size --------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)  # anything quadratic would take an hour
@pytest.mark.parametrize("make", [naive, gpipe, one_f_one_b])
def test_large_schedules_are_checked_in_linear_time(make):
    schedule = make(64, 512)
    assert check(schedule) == ()
    assert check(with_program(schedule, 0, schedule.programs[0][::-1]))


def test_a_long_chain_of_waiting_ranks_does_not_recurse():
    ranks = 2000
    schedule = naive(ranks, 1)
    assert check(schedule) == ()
    broken = with_program(schedule, ranks - 1, parse(f"{ranks - 1}B0 {ranks - 1}F0")[0])
    assert codes(broken) == {"order"}


def test_messages_that_are_in_order_are_no_problem():
    assert check(lower(one_f_one_b(3, 3))) == ()
