"""Dependencies: every gap has its true reason, and the critical path explains the makespan."""

from fractions import Fraction

import pytest
from hypothesis import given, settings, strategies as st

from pipelab import Action, Costs, Schedule, Timeline, simulate
from pipelab.ir import linear
from pipelab.schedules import gpipe, naive, one_f_one_b
from pipelab.timeline import Span
from tests.ir.generate import valid_schedules
from tests.ir.reference import makers, needs, parts
from tests.simulator.reference import journey, random_costs

from .reference import BOTH_WAYS, idle_cells


@st.composite
def simulations(draw):
    """(schedule, costs, timeline)"""
    schedule = draw(valid_schedules(max_ranks=3, max_microbatches=3))
    costs = draw(random_costs(schedule.num_stages))
    return schedule, costs, simulate(schedule, costs)


def reasons(timeline, **options):
    return [(gap.rank, gap.start, gap.end, gap.reason) for gap in timeline.gaps(**options)]


# -- worked out by hand ------------------------------------------------------------------------------------------------


def test_gpipe():
    assert reasons(simulate(gpipe(2, 2))) == [
        (0, 2, 5, "rank 0 waits for 1B0 from rank 1"),
        (1, 0, 1, "rank 1 waits for 0F0 from rank 0"),
        (1, 7, 9, "rank 1 has done all its work"),
    ]


def test_a_slow_stage_makes_the_next_one_wait():
    timeline = simulate(one_f_one_b(4, 8), Costs(forward=[1, 5, 1, 1]))
    gap = next(gap for gap in timeline.gaps() if gap.rank == 2 and gap.before == Action("F", 2, 4))
    assert (gap.waits_for, gap.source) == (Action("F", 1, 4), 1)
    assert gap.reason == "rank 2 waits for 1F4 from rank 1"
    assert gap.length == gap.end - gap.start > 0


def test_a_split_backward_waits_for_the_input_gradient():
    programs = [["0F0", "0I0", "0W0"], ["1F0", "1I0", "1W0"]]
    schedule = Schedule("split", linear(2), 1, tuple(tuple(map(Action.parse, program)) for program in programs))
    assert (0, 1, 3, "rank 0 waits for 1I0 from rank 1") in reasons(simulate(schedule))


def test_a_message_on_its_way_is_part_of_the_reason():
    assert reasons(simulate(gpipe(2, 1), Costs(latency=2))) == [
        (0, 1, 8, "rank 0 waits for 1B0 from rank 1 and its journey"),
        (1, 0, 3, "rank 1 waits for 0F0 from rank 0 and its journey"),
        (1, 6, 10, "rank 1 has done all its work"),
    ]


def test_blocking_sends():
    assert reasons(simulate(gpipe(2, 1), Costs(latency=2, blocking_sends=True))) == [
        (0, 1, 3, "rank 0 is held by its blocking send of what 0F0 made"),
        (0, 3, 8, "rank 0 waits for 1B0 from rank 1 and its journey"),
        (1, 0, 3, "rank 1 waits for 0F0 from rank 0 and its journey"),
        (1, 6, 8, "rank 1 is held by its blocking send of what 1B0 made"),
        (1, 8, 10, "rank 1 has done all its work"),
    ]


def test_of_two_needs_the_later_one_is_the_reason():
    """The pair on rank 1 needs 0F1 of rank 2, there since 1, and 2B0 of rank 2, at 5."""
    gap = next(gap for gap in simulate(BOTH_WAYS).gaps() if gap.before and gap.before.parts)
    assert (gap.start, gap.end, gap.waits_for, gap.source) == (2, 5, Action("B", 2, 0), 2)


def test_a_gap_in_which_nothing_was_missing():
    """As a real machine makes them."""
    late = Timeline.from_spans(
        [Span(0, "compute", Action("F", 0, m), start, start + 1) for m, start in enumerate((0, 1.25, 3))], "late"
    )
    assert reasons(late) == [
        (0, 1, 1.25, "rank 0 is getting ready for 0F1"),
        (0, 2.25, 3, "rank 0 is getting ready for 0F2"),
    ]
    assert [gap.start for gap in late.gaps(shortest=0.25)] == [2.25]


def test_nothing_was_missing_where_the_message_was_there_before():
    """It was made at 1; from 2 to 3, rank 1 only got ready."""
    rows = [(0, "0F0", 0, 1), (1, "1F1", 1, 2), (1, "1F0", 3, 4)]
    late = Timeline.from_spans([Span(r, "compute", Action.parse(a), *times) for r, a, *times in rows], "late")
    assert (1, 2, 3, "rank 1 is getting ready for 1F0") in reasons(late)
    gap = next(gap for gap in late.gaps() if gap.before == Action("F", 1, 0))
    assert gap.waits_for is gap.source is None


def test_an_action_inside_another_one_ends_no_gap():
    """As a real machine with two streams makes them."""
    times = enumerate([(0, 10), (2, 4), (12, 13)])
    inside = Timeline.from_spans([Span(0, "compute", Action("F", 0, m), *time) for m, time in times], "inside")
    assert reasons(inside) == [(0, 10, 12, "rank 0 is getting ready for 0F2")]


def test_a_rank_without_work_has_done_all_of_it():
    timeline = Timeline.from_spans([Span(0, "compute", Action("F", 0, 0), 0, 4)], "one of two", 2)
    assert reasons(timeline) == [(1, 0, 4, "rank 1 has done all its work")]


def path(timeline):
    return [f"{span.rank}:{span.action}" for span in timeline.critical_path()]


def test_the_critical_path_of_gpipe_goes_down_once_and_up_once():
    slow_end = Costs(forward=[1, 1, 2], backward_input=[1, 1, 2])
    expected = ["0:0F0", "1:1F0", "2:2F0", "2:2F1", "2:2B0", "2:2B1", "1:1B1", "0:0B1"]
    assert path(simulate(gpipe(3, 2), slow_end)) == expected


def test_all_of_the_naive_schedule_is_critical():
    timeline = simulate(naive(3, 2))
    assert len(timeline.critical_path()) == len(timeline)


@pytest.mark.parametrize(("message_bytes", "first", "second"), [([5, 3], "1F1", "1B0"), ([3, 5], "1B0", "1F1")])
def test_two_sends_at_once_hold_a_rank_one_after_the_other(message_bytes, first, second):
    costs = Costs(forward=[0, 9, 0], bandwidth=Fraction(1), message_bytes=message_bytes, blocking_sends=True)
    timeline = simulate(BOTH_WAYS, costs)
    end = next(span.end for span in timeline.spans if span.action.parts)
    held = [row for row in reasons(timeline) if row[0] == 1 and row[1] >= end][:2]
    assert held == [
        (1, end, end + 3, f"rank 1 is held by its blocking send of what {first} made"),
        (1, end + 3, end + 5, f"rank 1 is held by its blocking send of what {second} made"),
    ]


def test_of_two_sends_the_longer_one_is_critical():
    """Until the longer message has arrived, the rank does nothing else."""
    costs = Costs(forward=[0, 9, 0], latency=1, bandwidth=1, message_bytes=[20, 3], blocking_sends=True)
    chain = simulate(BOTH_WAYS, costs).critical_path()
    (pair,) = [i for i, span in enumerate(chain) if span.action.parts]
    send, following = chain[pair + 1 : pair + 3]
    assert (send.stream, str(send.action), send.end - send.start) == ("comm", "1SEND_B0", 21)
    assert (chain[pair].end, send.end) == (send.start, following.start)


def test_a_damaged_timeline_has_a_path_that_ends():
    """Two ranks, each of which seems to have waited for the other."""
    circle = Timeline.from_spans(
        [Span(0, "compute", Action.parse("0B0"), 0, 5), Span(1, "compute", Action.parse("1B0"), 0, 5)]
        + [Span(1, "compute", Action.parse("0F0"), 5, 9), Span(0, "compute", Action.parse("1F0"), 5, 9)],
        "circle",
    )
    assert 0 < len(circle.critical_path()) <= 4


# -- properties --------------------------------------------------------------------------------------------------------


@given(simulations())
@settings(max_examples=150)
def test_gaps_tile_the_idle_time(simulation):
    *_, timeline = simulation
    for rank in range(timeline.num_ranks):
        gaps = [gap for gap in timeline.gaps() if gap.rank == rank]
        assert all(gap.length > 0 for gap in gaps)
        assert all(one.end <= other.start for one, other in zip(gaps, gaps[1:], strict=False))
        assert sum(gap.length for gap in gaps) == timeline.idle[rank]
        for low, high in idle_cells(timeline, rank):
            assert sum(gap.start <= low and high <= gap.end for gap in gaps) == 1


@given(simulations())
@settings(max_examples=150)
def test_every_gap_says_what_ended_it(simulation):
    schedule, costs, timeline = simulation
    ends = {(span.rank, span.action): span.end for span in timeline.spans}
    last = {span.rank: span.action for span in timeline.spans}
    made = makers(schedule)
    for gap in timeline.gaps():
        if gap.before is None:
            assert gap.waits_for is gap.source is None
            done = gap.reason == f"rank {gap.rank} has done all its work"
            assert done or "blocking send" in gap.reason
            assert not done or (gap.end, gap.start) == (timeline.finish, ends.get((gap.rank, last.get(gap.rank)), 0))
            continue
        # What it waits for is something that it needs from another rank, and the last of it to arrive.
        arrivals = {}
        for part in parts(gap.before):
            for kind, stage, microbatch in needs(part, schedule.num_stages):
                rank, position = made[kind, stage, microbatch]
                if rank != gap.rank:
                    maker = schedule.programs[rank][position]
                    travels = journey(costs, min(stage, part.stage))
                    arrivals[rank, maker] = max(arrivals.get((rank, maker), 0), ends[rank, maker] + travels)
        assert arrivals[gap.source, gap.waits_for] == max(arrivals.values()) == gap.end
        journeys = " and its journey" if ends[gap.source, gap.waits_for] < gap.end else ""
        assert gap.reason == f"rank {gap.rank} waits for {gap.waits_for} from rank {gap.source}{journeys}"


@given(simulations(), st.fractions(0, 4))
def test_gaps_longer_than_the_shortest(simulation, shortest):
    *_, timeline = simulation
    assert timeline.gaps(shortest=shortest) == [gap for gap in timeline.gaps() if gap.length > shortest]


@given(simulations())
@settings(max_examples=300)
def test_the_critical_path_is_a_chain_as_long_as_the_timeline(simulation):
    schedule, costs, timeline = simulation
    chain = timeline.critical_path()
    assert chain[0].start == timeline.begin
    assert chain[-1].end == timeline.finish
    total = chain[0].end - chain[0].start
    for one, other in zip(chain, chain[1:], strict=False):
        wait = other.start - one.end
        if one.rank == other.rank:
            assert wait == 0
        else:
            crossed = [
                min(stage, part.stage)
                for part in parts(other.action)
                for kind, stage, m in needs(part, schedule.num_stages)
                if any((p.kind.replace("B", "I"), p.stage, p.microbatch) == (kind, stage, m) for p in parts(one.action))
            ]
            assert wait in [journey(costs, boundary) for boundary in crossed]
        total += wait + other.end - other.start
    assert total == timeline.makespan


@given(simulations())
def test_the_spans_of_the_critical_path_are_whole_actions(simulation):
    *_, timeline = simulation
    for span in timeline.critical_path():
        same = [s for s in timeline.spans if (s.rank, s.action) == (span.rank, span.action)]
        assert (span.start, span.end) == (min(s.start for s in same), max(s.end for s in same))


def test_large_timelines_take_no_recursion():
    timeline = simulate(one_f_one_b(32, 200))
    assert len(timeline.critical_path()) > 400
    assert sum(gap.length for gap in timeline.gaps()) == sum(timeline.idle)


def test_a_backward_far_from_its_forward_waits_for_no_journey():
    """Of a damaged timeline: between two ranks, but inside of the last stage, where no boundary is."""
    times = [(0, "F", 0), (0, "F", 1), (1, "B", 1)]
    spans = [Span(rank, "compute", Action(kind, s, 0), 2 * at, 2 * at + 1) for at, (rank, kind, s) in enumerate(times)]
    timeline = Timeline.from_spans(spans, "damaged", journeys=(5,))
    assert timeline.dependencies.last_message(1, Action("B", 1, 0)) == ((0, Action("F", 1, 0)), 3)
    assert [span.action.kind for span in timeline.critical_path()] == ["F", "F", "B"]
