"""What schedules are written in."""

import numpy as np
import pytest

from pipelab.ir import Action, Schedule, bidirectional, linear
from pipelab.ir.codes import actions_of, as_codes
from pipelab.schedules.building_blocks import overlapped, stream, turns


def actions(codes):
    return [*map(str, actions_of(as_codes(codes)))]


def test_streams_are_taken_in_turns():
    forward, backward = stream("F", 2, range(5)), stream("B", 2, [7, 9])
    assert actions(turns(2, forward)) == ["2F0", "2F1"]
    assert actions(turns(2, forward, backward)) == ["2F2", "2B7", "2F3", "2B9"]
    assert actions(turns(0, forward)) == []
    assert actions([next(forward)]) == ["2F4"]


def test_a_streams_actions_are_as_good_as_any():
    (action,) = actions_of(as_codes(stream("F", 2, [3])))
    assert (type(action), action, hash(action)) == (Action, Action("F", 2, 3), hash(Action("F", 2, 3)))


def test_pairs_are_taken_in_turns_too():
    pair = overlapped(stream("F", 2, [7]), stream("B", 0, [3]))
    (action,) = actions_of(as_codes(turns(1, *pair)))
    assert (type(action), action) == (Action, Action.parse("(2F7;0B3)OVERLAP_F_B"))


def test_a_schedule_takes_them_as_it_takes_actions():
    programs = (turns(2, stream("F", 0, range(2)), stream("B", 0, range(2))) for _ in range(1))
    schedule = Schedule("mine", linear(1), 2, programs)
    again = Schedule("mine", linear(1), 2, [[Action(kind, 0, m) for m in range(2) for kind in "FB"]])
    assert (schedule, hash(schedule), str(schedule)) == (again, hash(again), str(again))


def test_one_rank_may_have_codes_and_another_one_actions():
    mixed = Schedule("mine", bidirectional(2), 2, [stream("F", 0, [0]), [Action("F", 1, 0)]])
    assert mixed.programs == ((Action("F", 0, 0),), (Action("F", 1, 0),))


def test_what_is_well_formed_on_one_rank_does_not_hide_what_is_not_on_another():
    mixed = Schedule("mine", bidirectional(2), 2, [stream("F", 0, [0]), [Action("X", 1, 0)]])
    assert mixed.programs == ((Action("F", 0, 0),), (Action("X", 1, 0),))


@pytest.mark.parametrize("numbers", [[0], [7, 8], [2**70], [*stream("F", 0, [0]), 3], [*stream("F", 0, [0]), "0F0"]])
def test_other_numbers_are_no_codes(numbers):
    with pytest.raises(ValueError, match="programs hold Actions"):
        Schedule("mine", linear(1), 1, [numbers])


@pytest.mark.parametrize("kinds", ["BF", "BB", "FF", "FW"])
def test_a_pair_of_what_is_no_pair_is_refused(kinds):
    one, other = (stream(kind, 0, [0]) for kind in kinds)
    with pytest.raises(ValueError, match="an overlapped pair is one F and one B or I"):
        Schedule("mine", linear(1), 1, [turns(1, *overlapped(one, other))])


def test_pairs_that_are_not_taken_in_turns_are_refused():
    for streams in (overlapped(stream("F", 0, [0, 1]), stream("B", 0, [0, 1])), [[], overlapped([], [2**60])[1]]):
        with pytest.raises(ValueError, match="an overlapped pair is one F and one B or I"):
            Schedule("mine", linear(1), 2, [[each for one in streams for each in one]])


def test_an_error_of_a_stream_is_shown():
    def slipped():
        yield from stream("F", 0, [0])
        raise ValueError("a slip")

    with pytest.raises(ValueError, match="programs hold Actions") as error:
        Schedule("mine", linear(1), 1, [slipped()])
    assert str(error.value.__cause__) == "a slip"


@pytest.mark.parametrize("numbers", [range(2), [0.0, 1.0], np.arange(2), np.arange(2, dtype=np.int8), iter([0, 1])])
def test_whole_numbers_are_those_of_any_library(numbers):
    assert [*stream("F", np.int64(3), numbers)] == [*stream("F", 3, [0, 1])]


@pytest.mark.parametrize(
    ("kind", "stage", "microbatches"),
    [("X", 0, [0]), ("F", -1, [0]), ("F", 0, [0, -1]), ("F", 0, [2**31]), ("F", 0, [0.5]), ("F", True, [0])],
)
def test_a_stream_of_what_is_no_action_is_refused(kind, stage, microbatches):
    with pytest.raises(ValueError, match="no kind of action|stages go from 0|must be a whole number"):
        stream(kind, stage, microbatches)
