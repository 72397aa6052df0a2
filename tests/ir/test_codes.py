"""Codes: an action as a number says all that the action says, and a schedule of codes is the same schedule."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pipelab.ir import Action, Schedule, check, linear, lower
from pipelab.ir.action import COMPUTES, MESSAGES
from pipelab.ir.codes import MICROBATCHES, STAGES, actions_of, code, codes_of, unpack
from pipelab.schedules import SCHEDULES, dualpipe, one_f_one_b

from .generate import valid_schedules


def plain_of(kinds):
    return st.builds(
        Action, st.sampled_from(kinds), st.integers(0, STAGES - 1), st.integers(0, MICROBATCHES - 1), st.just(())
    )


plain = plain_of([*COMPUTES, *MESSAGES])
pairs = st.builds(Action.overlap, plain_of("F"), plain_of("BI"))


@given(st.lists(plain | pairs))
def test_there_and_back(actions):
    assert actions_of(codes_of(actions)) == tuple(actions)
    assert {type(action) for action in actions_of(codes_of(actions))} <= {Action}
    parts = [part for action in actions for part in action.parts or (action,)]
    columns = unpack(codes_of(actions))
    assert columns.stage.tolist() == [part.stage for part in parts]
    assert columns.microbatch.tolist() == [part.microbatch for part in parts]
    assert columns.second.sum() == len(parts) - len(actions)


@given(plain, plain)
def test_different_actions_have_different_codes(one, other):
    assert (code(*one[:3]) == code(*other[:3])) == (one == other)


@pytest.mark.parametrize(
    "action",
    [
        Action("X", 0, 0),
        Action(7, 0, 0),
        Action("F", -1, 0),
        Action("F", STAGES, 0),
        Action("F", 0, MICROBATCHES),
        Action("F", 0, 10**30),
        Action("F", True, 0),
        Action("F", 0.5, 0),
        Action("F", 0, None),
        Action("OVERLAP_F_B", 0, 0),
        Action("OVERLAP_F_B", 0, 0, (Action("B", 0, 0), Action("F", 0, 0))),
        Action("OVERLAP_F_B", 0, 0, (Action("F", 0, -1), Action("B", 0, 0))),
        Action("OVERLAP_F_B", 0, 0, (Action("F", 0, 0, (Action("X", 0, 0),)), Action("B", 0, 0))),
    ],
)
def test_what_is_not_well_formed_has_no_code(action):
    with pytest.raises(ValueError, match="no kind of action|whole number|one F and one B"):
        codes_of([Action("F", 0, 0), action])
    schedule = Schedule("mine", linear(1), 1, [[action]])
    assert schedule.coded is None
    assert {problem.code for problem in check(schedule)} == {"unknown"}


def test_numbers_and_texts_of_other_libraries_have_the_same_codes():
    strange = Action(np.str_("F"), np.int64(2), 3.0)
    assert actions_of(codes_of([strange])) == (Action("F", 2, 3),)
    assert {type(each) for each in actions_of(codes_of([strange]))[0][:3]} == {str, int}


@given(valid_schedules())
def test_a_schedule_of_codes_is_the_same(schedule):
    low = schedule.coded.bounds
    programs = [schedule.coded.codes[a:b] for a, b in zip(low, low[1:], strict=False)]
    again = replace(schedule, programs=programs)
    assert "programs" not in vars(again)  # nobody has asked for Actions
    assert (again, hash(again), check(again)) == (schedule, hash(schedule), ())
    assert again.programs == schedule.programs
    assert lower(again) == lower(schedule)


@pytest.mark.parametrize("name", SCHEDULES)
def test_named_schedules_make_actions_when_they_are_asked_for(name):
    schedule = SCHEDULES[name](4, 8)
    assert check(schedule) == ()
    assert "programs" not in vars(schedule)
    assert all(type(action) is Action for program in schedule.programs for action in program)
    assert schedule.programs is schedule.programs


def test_pickled_it_is_as_small_as_its_codes():
    schedule = one_f_one_b(8, 64)
    _ = schedule.programs
    text = pickle.dumps(schedule)
    assert len(text) < 9 * 2 * 8 * 64 + 1000
    again = pickle.loads(text)
    assert (again, again.programs) == (schedule, schedule.programs)


def test_codes_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        dualpipe(2, 4).coded.codes[0] = 0


def test_a_pair_is_named_by_its_forward():
    """Whatever else its own numbers are."""
    forward, backward = Action("F", 0, 1), Action("B", 0, 0)
    odd = Action("OVERLAP_F_B", 7, 7, (forward, backward))
    assert actions_of(codes_of([odd])) == (Action.overlap(forward, backward),)


def test_other_arrays_are_no_programs():
    with pytest.raises(ValueError, match="programs hold Actions"):
        Schedule("mine", linear(1), 1, [np.array([0.5])])
