"""lower: the messages are there, just in time, and their order can't deadlock though nothing names a message.

That it can't on NCCL either, as ranks execute it, is shown in tests/runtime/test_p2p.py.
"""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from pipelab.ir import Action, Schedule, ScheduleError, check, linear, looped, lower
from pipelab.schedules import gpipe
from tests.schedules.cases import schedules as named

from .generate import mutated, valid_schedules, with_program
from .reference import is_valid, messages, runs_without_tags


def found(schedule):
    return Counter(
        (r, a) for r, program in enumerate(schedule.programs) for a in program if a.kind[:4] in ("SEND", "RECV")
    )


@given(valid_schedules())
@settings(max_examples=200)
def test_every_message_is_sent_once_and_received_once(schedule):
    assert found(lower(schedule)) == messages(schedule)


@given(valid_schedules())
def test_the_computations_stay_as_they_were(schedule):
    lowered = lower(schedule)
    computes = tuple(tuple(action for action in program if action.computes) for program in lowered.programs)
    assert replace(lowered, programs=computes) == schedule


@given(valid_schedules())
@settings(max_examples=200)
def test_it_runs_in_order_without_tags(schedule):
    assert runs_without_tags(lower(schedule))


@given(named())
def test_so_do_the_named_schedules(schedule):
    assert runs_without_tags(lower(schedule))


@given(valid_schedules())
def test_messages_are_just_in_time(schedule):
    """A send directly follows the computation of what it sends, and no receive could stand behind the next one."""
    lowered = lower(schedule)
    for rank, program in enumerate(lowered.programs):
        for before, action in pairwise(program):
            if action.kind in ("SEND_F", "SEND_B"):
                assert before.computes or before.kind in ("SEND_F", "SEND_B")
        for position, action in enumerate(program):
            if action.kind in ("RECV_F", "RECV_B"):
                later = next(i for i in range(position, len(program)) if program[i].computes)
                moved = [*program[:position], *program[position + 1 : later + 1], action, *program[later + 1 :]]
                assert check(with_program(lowered, rank, tuple(moved)))


@given(valid_schedules())
def test_check_passes_it_and_lowering_again_changes_nothing(schedule):
    lowered = lower(schedule)
    assert check(lowered) == ()
    assert lower(lowered) == lowered


@given(st.data())
def test_what_check_refuses_is_not_lowered(data):
    schedule = data.draw(mutated(data.draw(valid_schedules(max_ranks=3, max_microbatches=3))))
    if is_valid(schedule):
        lower(schedule)
    else:
        with pytest.raises(ScheduleError) as error:
            lower(schedule)
        assert error.value.problems == check(schedule)


@given(valid_schedules(max_ranks=3, max_microbatches=3), st.integers(0, 2**32 - 1))
@settings(max_examples=400)
def test_check_refuses_exactly_the_orders_that_cannot_run(schedule, seed):
    """Move, drop or double one message of a lowered schedule."""
    random, lowered = Random(seed), lower(schedule)
    places = [(r, i) for r, program in enumerate(lowered.programs) for i, a in enumerate(program) if not a.computes]
    if not places:
        return
    rank, position = random.choice(places)
    program = [*lowered.programs[rank]]
    message = program.pop(position)
    for _ in range(random.choice([0, 1, 1, 1, 1, 1, 2])):
        program.insert(random.randrange(len(program) + 1), message)
    changed = with_program(lowered, rank, tuple(program))
    right = found(changed) == messages(schedule) and runs_without_tags(changed)
    assert (check(changed) == ()) == right


def parse(*programs):
    return tuple(tuple(map(Action.parse, program.split())) for program in programs)


@pytest.mark.parametrize(
    ("programs", "rank", "action", "reason"),
    [
        # Nothing is received.
        (
            ("0F0 0SEND_F0", "1F0"),
            1,
            "1RECV_F0",
            "rank 1 never does 1RECV_F0, its side of the message from rank 0 to rank 1",
        ),
        (("0F0", "1RECV_F0 1F0"), 0, "0SEND_F0", "rank 0 never does 0SEND_F0"),
        (("0F0 0SEND_F0 0SEND_F0", "1RECV_F0 1F0"), 0, "0SEND_F0", "2 times; once is right"),
        (("0F0 0SEND_F0 0SEND_B0", "1RECV_F0 1F0"), 0, "0SEND_B0", "no such message leaves or reaches it"),
        (("0F0", "0SEND_F0 1RECV_F0 1F0"), 1, "0SEND_F0", "no such message leaves or reaches it"),
        (("0SEND_F0 0F0", "1RECV_F0 1F0"), 0, "0SEND_F0", "before it has computed what it sends"),
        (("0F0 0SEND_F0", "1F0 1RECV_F0"), 1, "1F0", "before 1RECV_F0, which brings what it needs"),
    ],
)
def test_what_is_wrong_with_a_message(programs, rank, action, reason):
    schedule = Schedule("mine", linear(2), 1, parse(*programs), training=False)
    problem = next(p for p in check(schedule) if (p.rank, str(p.action)) == (rank, action))
    assert problem.code == "message"
    assert reason in problem.message


def test_two_messages_in_different_orders_on_both_sides():
    programs = parse("0F0 0F1 0SEND_F0 0SEND_F1", "1RECV_F1 1RECV_F0 1F0 1F1")
    problems = check(Schedule("mine", linear(2), 2, programs, training=False))
    assert [problem.message for problem in problems] == [
        "rank 1 expects 1RECV_F1 from rank 0, which sends 0SEND_F0 first"
    ]


def test_two_ranks_that_both_send_first():
    """With sends that hold their rank until the message has come, this would not run; ours don't, and it does."""
    programs = parse(
        "0F0 0SEND_F0 0F1 0SEND_F1 0RECV_B0 0B0 0RECV_B1 0B1", "1RECV_F0 1F0 1B0 1SEND_B0 1RECV_F1 1F1 1B1 1SEND_B1"
    )
    assert check(Schedule("mine", linear(2), 2, programs)) == ()


def test_two_ranks_that_both_receive_first():
    programs = parse(
        "0F0 0SEND_F0 0RECV_B0 0RECV_B1 0F1 0SEND_F1 0B0 0B1", "1RECV_F0 1F0 1B0 1SEND_B0 1RECV_F1 1F1 1B1 1SEND_B1"
    )
    assert [problem.message for problem in check(Schedule("mine", linear(2), 2, programs))] == [
        "rank 0 waits at 0RECV_B1 for rank 1, which waits at 1RECV_F1",
        "rank 1 waits at 1RECV_F1 for rank 0, which waits at 0RECV_B1",
    ]


def test_a_rank_that_sends_to_itself_sends_nothing():
    schedule = Schedule("mine", looped(1, 2), 1, parse("0F0 1F0 1B0 0B0"))
    assert lower(schedule) == schedule


def test_lowering_a_large_schedule_ends():
    lowered = lower(gpipe(64, 256))
    assert len([1 for program in lowered.programs for action in program if not action.computes]) == 4 * 63 * 256
