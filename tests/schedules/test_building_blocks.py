"""What schedules with phases are written in."""

from pipelab.ir import Action
from pipelab.schedules.building_blocks import pairs, stream, turns


def test_streams_are_taken_in_turns():
    forward, backward = stream("F", 2, range(5)), stream("B", 2, [7, 9])
    assert [*map(str, turns(2, forward))] == ["2F0", "2F1"]
    assert [*map(str, turns(2, forward, backward))] == ["2F2", "2B7", "2F3", "2B9"]
    assert [*turns(0, forward)] == []
    assert next(forward) == Action("F", 2, 4)


def test_a_streams_actions_are_as_good_as_any():
    (action,) = stream("F", 2, [3])
    assert (type(action), action, hash(action)) == (Action, Action("F", 2, 3), hash(Action("F", 2, 3)))


def test_pairs():
    (pair,) = pairs(stream("F", 2, [7]), stream("B", 0, [3]))
    assert (type(pair), pair) == (Action, Action.parse("(2F7;0B3)OVERLAP_F_B"))
