"""Costs that a timeline teaches: they make it again, and predict other schedules."""

from fractions import Fraction

import pytest
from hypothesis import assume, given, settings, strategies as st

from pipelab import Action, Costs, Schedule, Timeline, build, simulate
from pipelab.ir import linear
from pipelab.schedules import gpipe, one_f_one_b
from pipelab.timeline import Span
from tests.ir.generate import valid_schedules
from tests.schedules.cases import SIMPLE, schedules

numbers = st.integers(0, 9) | st.fractions(0, 9)


@given(st.data())
@settings(max_examples=100)
def test_costs_from_a_timeline_make_it_again(data):
    """Whatever the schedule and its costs per stage, so long as actions of one kind and stage cost the same."""
    schedule = data.draw(valid_schedules(max_ranks=3, max_microbatches=3))
    per_stage = st.lists(numbers, min_size=schedule.num_stages, max_size=schedule.num_stages)
    kinds = {action.kind for program in schedule.programs for action in program}
    assume(not ("B" in kinds and "W" in kinds))  # a stage may do both, with no I of its own outside of pairs
    costs = Costs(
        forward=data.draw(per_stage),
        backward_input=data.draw(per_stage),
        backward_weight=data.draw(per_stage),
        overlapped=data.draw(per_stage),
        free_at=data.draw(st.sampled_from("WI")),
    )
    timeline = simulate(schedule, costs)
    again = simulate(schedule, Costs.from_timeline(timeline, schedule))
    assert again.makespan == pytest.approx(float(timeline.makespan), rel=1e-9)
    assert again.idle == pytest.approx([float(idle) for idle in timeline.idle], rel=1e-9, abs=1e-9)
    assert again.free_at == timeline.free_at


@given(st.integers(1, 5), st.integers(1, 6), numbers, numbers, numbers)
def test_one_schedules_costs_predict_another(ranks, microbatches, forward, backward_input, backward_weight):
    costs = Costs(forward, backward_input, backward_weight)
    schedule = one_f_one_b(ranks, microbatches)
    learnt = Costs.from_timeline(simulate(schedule, costs), schedule)
    for name in SIMPLE:
        other = build(name, ranks, microbatches)
        assert simulate(other, learnt).makespan == pytest.approx(float(simulate(other, costs).makespan), rel=1e-9)


@given(schedules("zb-h1", "zb-h2", "dualpipe"), numbers, numbers)
def test_whole_backwards_predict_split_ones_and_pairs(other, forward, half):
    """Where I takes what W takes, which no whole backward could tell, and a pair what its two take."""
    costs = Costs(forward, half, half)
    learnt = Costs.from_timeline(simulate(one_f_one_b(other.num_ranks, 3), costs))
    assert simulate(other, learnt).makespan == pytest.approx(float(simulate(other, costs).makespan), rel=1e-9)


limits = {"max_ranks": 4, "max_microbatches": 8}


@given(schedules("zb-h1", "zb-v", "dualpipe", "dualpipe-v", **limits), numbers, numbers, numbers, st.integers(0, 9))
def test_split_backwards_predict_whole_ones(measured, forward, backward_input, backward_weight, gain):
    """DualPipe splits only some backwards of some stages; how, is then known of the others, too."""
    serial = forward + backward_input + backward_weight
    costs = Costs(forward, backward_input, backward_weight, overlapped=serial * Fraction(10 - gain, 10))
    learnt = Costs.from_timeline(simulate(measured, costs))
    name = "1f1b" if measured.name == "zb-h1" else measured.name
    other = build(name, measured.num_ranks, 2 * measured.num_microbatches)
    assert simulate(other, learnt).makespan == pytest.approx(float(simulate(other, costs).makespan), rel=1e-9)


def rows(*actions):
    """A timeline of one rank: (action, duration) one after the other."""
    spans, now = [], 0
    for action, duration in actions:
        spans.append(Span(0, "compute", Action.parse(action), now, now + duration))
        now += duration
    return Timeline.from_spans(spans, "measured", source="measured", unit="ms")


def test_a_prediction_from_a_measured_timeline_is_in_its_unit():
    learnt = Costs.from_timeline(rows(("0F0", 2), ("0B0", 4)))
    assert simulate(gpipe(1, 3), learnt).unit == simulate(gpipe(2, 3), Costs(1, 1, 1, unit="ms").cut(2)).unit == "ms"
    assert simulate(gpipe(1, 3), Costs(1, 1, 1, forward_comm=1, unit="ms")).unit == "ms"
    assert simulate(gpipe(1, 3)).unit == ""
    with pytest.raises(ValueError, match="unit must be text"):
        Costs(unit=1)


def test_the_median_counts():
    timeline = rows(("0F0", 2), ("0F1", 3), ("0F2", 900), ("0B0", 4), ("0B1", 6), ("0B2", 6))
    learnt = Costs.from_timeline(timeline, gpipe(1, 3))
    assert (learnt.forward, learnt.backward_input, learnt.backward_weight) == ((3,), (3,), (3,))
    assert learnt.overlapped is None


def test_a_split_backward_is_known_by_its_parts():
    timeline = rows(("0F0", 2), ("0F1", 2), ("0B0", 9), ("0I1", 5), ("0W1", 1))
    schedule = Schedule("mixed", linear(1), 2, (timeline.actions,))
    learnt = Costs.from_timeline(timeline, schedule)
    assert (learnt.backward_input, learnt.backward_weight) == ((5,), (1,))


def test_how_a_backward_splits_is_known_from_other_stages():
    timeline = rows(("0F0", 2), ("1F0", 2), ("1I0", 6), ("1W0", 2), ("0B0", 4))
    learnt = Costs.from_timeline(timeline)
    assert (learnt.backward_input, learnt.backward_weight) == ((3, 6), (1, 2))


def test_what_is_only_seen_in_pairs_is_known_from_other_stages():
    timeline = rows(("0F0", 2), ("0F1", 2), ("1F0", 6), ("(1F1;1B0)OVERLAP_F_B", 9), ("1B1", 8), ("0B0", 4), ("0B1", 4))
    again = rows(*(("0F0", 2), ("(1F0;0B0)OVERLAP_F_B", 5)))
    assert Costs.from_timeline(timeline).overlapped == (pytest.approx(6 * 9 / 14), 9)  # what a pair gains on stage 1
    assert Costs.from_timeline(again).forward == (2, 2)
    assert Costs.from_timeline(again).backward_input == (0, 0)


def test_a_schedule_says_what_stages_there_are():
    timeline = rows(("0F0", 2), ("0B0", 4))
    assert Costs.from_timeline(timeline).forward == (2,)
    assert Costs.from_timeline(timeline, gpipe(3, 1)).forward == (2, 2, 2)


def test_a_pair_is_known_as_a_whole():
    timeline = rows(("0F0", 2), ("(0F1;0B0)OVERLAP_F_B", 5), ("0B1", 4))
    schedule = Schedule("overlapped", linear(1), 2, (timeline.actions,))
    learnt = Costs.from_timeline(timeline, schedule)
    assert learnt.overlapped == (5,)
    assert simulate(schedule, learnt).makespan == 11


def test_communication_inside_an_action_is_a_part_of_its_cost():
    schedule = gpipe(2, 3)
    costs = Costs(forward=1, forward_comm=2, backward_weight_comm=[3, 0])
    learnt = Costs.from_timeline(simulate(schedule, costs), schedule)
    assert learnt.forward == (3, 3)
    assert simulate(schedule, learnt).makespan == simulate(schedule, costs).makespan


def test_messages_come_out_free():
    schedule = one_f_one_b(3, 4)
    learnt = Costs.from_timeline(simulate(schedule, Costs(latency=5, blocking_sends=True)), schedule)
    assert learnt.journeys(3) == ()
    assert simulate(schedule, learnt).makespan == simulate(schedule).makespan
