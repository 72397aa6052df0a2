"""What schedules with phases are written in."""

import gc

import pytest

from pipelab import dualpipe
from pipelab.ir import Action
from pipelab.schedules.building_blocks import all_at_once, stream, turns


def test_streams_are_taken_in_turns():
    forward, backward = stream("F", 2, range(5)), stream("B", 2, [7, 9])
    assert [*map(str, turns(2, forward))] == ["2F0", "2F1"]
    assert [*map(str, turns(2, forward, backward))] == ["2F2", "2B7", "2F3", "2B9"]
    assert [*turns(0, forward)] == []
    assert next(forward) == Action("F", 2, 4)


def test_a_streams_actions_are_as_good_as_any():
    (action,) = stream("F", 2, [3])
    assert (type(action), action, hash(action)) == (Action, Action("F", 2, 3), hash(Action("F", 2, 3)))


def test_garbage_collection_waits_and_goes_on():
    seen = []
    build = all_at_once(lambda: seen.append(gc.isenabled()))
    build()
    assert (seen, gc.isenabled()) == ([False], True)
    with pytest.raises(ValueError):
        dualpipe(3, 8)
    assert gc.isenabled()


def test_who_wants_no_garbage_collection_gets_none():
    gc.disable()
    try:
        dualpipe(2, 4)
        assert not gc.isenabled()
    finally:
        gc.enable()
