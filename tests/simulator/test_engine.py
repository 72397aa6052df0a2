"""simulate: exactly the times that follow from what comes after what, and an error for what can't run."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import pipelab
from pipelab.ir import Action, Schedule, ScheduleError, bidirectional, check, linear, lower
from pipelab.schedules import SCHEDULES, gpipe, naive, one_f_one_b
from pipelab.simulator import Costs, simulate
from tests.ir.generate import mutated, valid_schedules, with_program
from tests.ir.reference import computes, is_valid

from .reference import random_costs, times


def parse(*programs):
    return tuple(tuple(map(Action.parse, program.split())) for program in programs)


def extents(timeline):
    """{(rank, action): (start, end)} over both streams."""
    found = {}
    for rank, _, action, start, end in timeline.spans:
        if not action.kind.startswith("SEND"):
            low, high = found.get((rank, action), (start, end))
            found[rank, action] = min(low, start), max(high, end)
    return found


@given(st.data())
@settings(max_examples=300)
def test_it_equals_the_longest_paths(data):
    schedule = data.draw(valid_schedules())
    costs = data.draw(random_costs(schedule.num_stages))
    actions = computes(schedule)
    expected = {(node[0], actions[node]): when for node, when in times(schedule, costs).items()}
    assert extents(simulate(schedule, costs)) == expected


@given(st.data())
@settings(max_examples=60)
def test_times_are_exact_numbers(data):
    schedule = data.draw(valid_schedules())
    costs = data.draw(random_costs(schedule.num_stages))
    timeline = simulate(schedule, costs)
    assert {type(time) for span in timeline.spans for time in span[3:]} <= {int, Fraction}
    assert isinstance(timeline.makespan, int | Fraction)


@given(st.data())
@settings(max_examples=400)
def test_it_refuses_exactly_what_check_refuses(data):
    schedule = data.draw(mutated(data.draw(valid_schedules(max_ranks=3, max_microbatches=3))))
    problems = check(schedule)
    assert (problems == ()) == is_valid(schedule)
    if problems:
        with pytest.raises(ScheduleError) as error:
            simulate(schedule)
        assert error.value.problems == problems
    else:
        simulate(schedule)


@pytest.mark.parametrize(
    "action",
    [Action("F", 0.5, 0), Action("F", 0, None), Action("F", "0", 0), Action("B", 10**30, 0), Action("X", 0, 0)]
    + [Action("F", 0, 0, (Action("F", 0, 0), Action("B", 0, 1))), Action("OVERLAP_F_B", 0, 0), Action("SEND_F", 9, 0)],
)
def test_it_refuses_what_makes_no_sense(action):
    schedule = gpipe(2, 4)
    with pytest.raises(ScheduleError):
        simulate(with_program(schedule, 0, (*schedule.programs[0], action)))


def test_whole_numbers_of_other_types_are_whole_numbers():
    schedule = one_f_one_b(2, 2)
    numpy = tuple(
        tuple(Action(a.kind, np.int64(a.stage), np.int64(a.microbatch)) for a in p) for p in schedule.programs
    )
    assert simulate(Schedule("1f1b", linear(2), 2, numpy)) == simulate(schedule)


@given(valid_schedules(), st.data())
@settings(max_examples=60)
def test_messages_in_the_program_change_nothing(schedule, data):
    costs = data.draw(random_costs(schedule.num_stages))
    assert simulate(lower(schedule), costs) == simulate(schedule, costs)


def test_a_lowered_schedule_that_deadlocks_is_refused():
    lowered = lower(gpipe(2, 2))
    reordered = (*lowered.programs[0][:1], *lowered.programs[0][2:], lowered.programs[0][1])
    with pytest.raises(ScheduleError):
        simulate(with_program(lowered, 0, reordered))


@pytest.mark.parametrize(
    ("name", "ranks", "microbatches", "makespan"),
    [("gpipe", 4, 8, 33), ("1f1b", 4, 8, 33), ("gpipe", 8, 20, 81), ("1f1b", 8, 20, 81), ("naive", 4, 8, 96)],
)
def test_known_makespans(name, ranks, microbatches, makespan):
    assert simulate(SCHEDULES[name](ranks, microbatches)).makespan == makespan


# Two ranks, two routes: micro-batch 0 goes down, 1 up. Each rank holds both stages.
BOTH_ENDS = Schedule("both ends", bidirectional(2), 2, parse("0F0 1F1 1B1 0B0", "0F1 1F0 1B0 0B1"))


def test_both_ends_at_once():
    timeline = simulate(BOTH_ENDS)
    assert timeline.makespan == 6  # no rank ever waits
    assert timeline.idle == (0, 0)
    assert timeline.peak_activations == (2, 2)
    # With a message that takes 1, each rank waits for it twice.
    assert simulate(BOTH_ENDS, Costs(latency=1)).idle == (2, 2)


PAIRS = Schedule(
    "both ends, overlapped",
    bidirectional(2),
    4,
    parse(
        "0F0 0F1 1F2 (1F3;1I2)OVERLAP_F_B 1W2 1B3 0B0 0B1",
        "0F2 0F3 1F0 (1F1;1I0)OVERLAP_F_B 1W0 1B1 0B2 0B3",
    ),
)


@pytest.mark.parametrize(("overlapped", "pair"), [(None, 2), (Fraction(3, 2), Fraction(3, 2)), ([9, 1], 1)])
def test_an_overlapped_pair_lasts_as_long_as_the_costs_say(overlapped, pair):
    timeline = simulate(PAIRS, Costs(overlapped=overlapped))
    (end, start), *_ = [(span.end, span.start) for span in timeline.spans if span.action.parts]
    assert end - start == pair
    assert timeline.makespan == 3 + pair + 1 + 2 + 2 + 2


def test_a_pair_hides_the_shorter_of_its_two_streams():
    """F computes 2 and communicates 3, I computes 1 and communicates 1: 3 computing under 4 communicating."""
    costs = Costs(forward=2, forward_comm=3, backward_input=1, backward_input_comm=1)
    pair = [span for span in simulate(PAIRS, costs).spans if span.action.parts and span.rank == 0]
    assert {(span.stream, span.end - span.start) for span in pair} == {("compute", 3), ("comm", 4)}
    assert len({span.start for span in pair}) == 1


def test_a_pair_longer_than_its_streams_still_lasts_to_its_end():
    costs = Costs(overlapped=10, forward_comm=1)
    pair = [span for span in simulate(PAIRS, costs).spans if span.action.parts and span.rank == 0]
    assert {(span.stream, span.end - span.start) for span in pair} == {("compute", 10), ("comm", 1)}


def test_a_blocking_send_holds_its_rank():
    timeline = simulate(gpipe(2, 1), Costs(latency=3, blocking_sends=True))
    assert [(span.rank, span.stream, str(span.action), span.start, span.end) for span in timeline.spans] == [
        (0, "compute", "0F0", 0, 1),
        (0, "comm", "0SEND_F0", 1, 4),
        (0, "compute", "0B0", 10, 12),
        (1, "compute", "1F0", 4, 5),
        (1, "compute", "1B0", 5, 7),
        (1, "comm", "1SEND_B0", 7, 10),
    ]
    assert timeline.busy == (3, 3)  # a send is no work


def test_both_messages_of_a_blocking_pair_travel_at_once():
    """The pair 0F3+1I2 of rank 0 sends both ways; its rank is held until the later one has arrived."""
    placement = bidirectional(3)  # rank 1 is in the middle of both routes
    programs = parse("0F0 2F1 2B1 0B0", "1F0 (1F1;1B0)OVERLAP_F_B 1B1", "0F1 2F0 2B0 0B1")
    schedule = Schedule("mine", placement, 2, programs)
    costs = Costs(latency=1, bandwidth=1, message_bytes=[4, 1], blocking_sends=True)
    sends = [span for span in simulate(schedule, costs).spans if span.rank == 1 and span.action.kind[:4] == "SEND"]
    pair = next(span for span in simulate(schedule, costs).spans if span.action.parts)
    from_pair = {str(span.action): span.end - span.start for span in sends if span.start == pair.end}
    assert from_pair == {"1SEND_F1": 2, "1SEND_B0": 5}
    following = next(span for span in simulate(schedule, costs).spans if str(span.action) == "1B1")
    assert following.start >= pair.end + 5


def test_communication_inside_actions_comes_after_their_computation():
    spans = simulate(naive(1, 1), Costs(forward_comm=2, backward_weight_comm=1)).spans
    assert [(span.stream, str(span.action), span.start, span.end) for span in spans] == [
        ("compute", "0F0", 0, 1),
        ("comm", "0F0", 1, 3),
        ("compute", "0B0", 3, 5),
        ("comm", "0B0", 5, 6),
    ]


def test_the_room_can_be_called():
    assert pipelab.simulate(gpipe(2, 2)) == simulate(gpipe(2, 2))


def test_costs_per_stage_need_one_per_stage():
    with pytest.raises(ValueError, match="forward lists 2 costs; the schedule has 4 stages"):
        simulate(gpipe(4, 1), Costs(forward=[1, 2]))
    with pytest.raises(ValueError, match="message_bytes lists 4 costs; the schedule has 3 boundaries between stages"):
        simulate(gpipe(4, 1), Costs(message_bytes=[1, 2, 3, 4]))


def test_large_schedules_neither_hang_nor_recurse():
    assert simulate(naive(500, 3)).makespan == 4500
    stuck = with_program(one_f_one_b(64, 64), 63, one_f_one_b(64, 64).programs[63][::-1])
    with pytest.raises(ScheduleError):
        simulate(stuck)


def test_costs_that_are_none_are_refused():
    with pytest.raises(ValueError, match="costs must be Costs, .*; got 5"):
        simulate(gpipe(2, 2), 5)
