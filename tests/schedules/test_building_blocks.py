"""What schedules are written in."""

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


@pytest.mark.parametrize("numbers", [[0], [7, 8], [2**70], [*stream("F", 0, [0]), 3], [*stream("F", 0, [0]), "0F0"]])
def test_other_numbers_are_no_codes(numbers):
    with pytest.raises(ValueError, match="programs hold Actions"):
        Schedule("mine", linear(1), 1, [numbers])


@pytest.mark.parametrize(
    ("kind", "stage", "microbatches"), [("X", 0, [0]), ("F", -1, [0]), ("F", 0, [0, -1]), ("F", 0, [2**31])]
)
def test_a_stream_of_what_is_no_action_is_refused(kind, stage, microbatches):
    with pytest.raises(ValueError, match="no kind of action|stages go from 0"):
        stream(kind, stage, microbatches)
