"""Metrics: every figure, on small cases worked out by hand and against a second implementation."""

from bisect import bisect_right
from fractions import Fraction
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pipelab import Action, Costs, Schedule, Timeline, simulate
from pipelab.ir import linear
from pipelab.schedules import gpipe, naive, one_f_one_b
from pipelab.timeline import Span

from .reference import cells, exposed, held, idle_cells, length, middle, phase, timelines


def spans(*rows):
    """Spans from rows such as "0 compute 0F0 0 1"."""
    split = [row.split() for row in rows]
    return [
        Span(int(rank), stream, Action.parse(action), int(start), int(end))
        for rank, stream, action, start, end in split
    ]


# -- worked out by hand ------------------------------------------------------------------------------------------------

# F takes 1, B takes 2:
# rank 0   F0 F1 ·  ·  ·  B0 B0 B1 B1
# rank 1   ·  F0 F1 B0 B0 B1 B1 ·  ·
GPIPE = simulate(gpipe(2, 2))
# rank 0   F0 F1 ·  ·  B0 B0 ·  B1 B1
# rank 1   ·  F0 B0 B0 F1 B1 B1 ·  ·
ONE_F_ONE_B = simulate(one_f_one_b(2, 2))


def test_gpipe_on_two_ranks():
    assert [(span.rank, str(span.action), span.start, span.end) for span in GPIPE.spans] == [
        (0, "0F0", 0, 1),
        (0, "0F1", 1, 2),
        (0, "0B0", 5, 7),
        (0, "0B1", 7, 9),
        (1, "1F0", 1, 2),
        (1, "1F1", 2, 3),
        (1, "1B0", 3, 5),
        (1, "1B1", 5, 7),
    ]
    assert (GPIPE.begin, GPIPE.finish, GPIPE.makespan) == (0, 9, 9)
    assert GPIPE.busy == (6, 6)
    assert GPIPE.idle == (3, 3)
    assert GPIPE.bubble_fraction == 6 / 18
    assert GPIPE.bubble_over_ideal == 6 / 12  # (P-1)/M
    assert GPIPE.phases == ((5, 5), (3, 3))
    assert GPIPE.idle_by_phase == ((3, 0, 0), (1, 0, 2))
    assert GPIPE.peak_activations == (2, 2)
    assert GPIPE.exposed_communication == (0, 0)


def test_one_f_one_b_on_two_ranks():
    assert ONE_F_ONE_B.makespan == 9
    assert ONE_F_ONE_B.idle == (3, 3)
    assert ONE_F_ONE_B.phases == ((4, 4), (2, 5))
    assert ONE_F_ONE_B.idle_by_phase == ((2, 0, 1), (1, 0, 2))
    assert ONE_F_ONE_B.peak_activations == (2, 1)


def test_activations_over_time():
    """What is freed at a time goes before what is made at it: at 4, rank 1 never holds two."""
    found = [[column.tolist() for column in ONE_F_ONE_B.activations_over_time(rank)] for rank in range(2)]
    assert found == [[[0, 1, 6, 9], [1, 2, 1, 0]], [[1, 4, 4, 7], [1, 0, 1, 0]]]


@pytest.mark.parametrize(("free_at", "peak"), [("W", 3), ("I", 1)])
def test_an_activation_is_held_until_its_weights_gradient_is_done(free_at, peak):
    """A peak of M looks like 1 to who frees at I what W still needs."""
    program = "0F0 0I0 0F1 0I1 0F2 0I2 0W0 0W1 0W2"
    schedule = Schedule("late W", linear(1), 3, (tuple(map(Action.parse, program.split())),))
    assert simulate(schedule, Costs(free_at=free_at)).peak_activations == (peak,)


def test_forward_only_keeps_nothing():
    programs = [[Action("F", rank, m) for m in range(5)] for rank in range(2)]
    timeline = simulate(Schedule("inference", linear(2), 5, programs, training=False))
    assert timeline.peak_activations == (1, 1)
    assert timeline.idle_by_phase == ((1, 0, 0), (1, 0, 0))


def test_communication_inside_an_action_is_work_and_exposed_where_nothing_computes():
    timeline = Timeline.from_spans(
        spans("0 compute 0F0 0 2", "0 comm 0F0 2 5", "0 compute 0B0 4 6", "0 comm 0B0 6 7"), "overlapping"
    )
    assert timeline.busy == (7,)
    assert timeline.idle == (0,)
    assert timeline.exposed_communication == (3,)  # 2 to 4, and 6 to 7


def test_a_blocking_send_is_idle_time_and_exposed_communication():
    timeline = simulate(gpipe(2, 1), Costs(latency=3, blocking_sends=True))
    assert timeline.makespan == 12
    assert timeline.busy == (3, 3)
    assert timeline.idle == (9, 9)
    assert timeline.exposed_communication == (3, 3)
    assert timeline.bubble_fraction == 18 / 24


def test_a_timeline_that_starts_late_is_as_long_as_it_is():
    late = Timeline.from_spans(spans("0 compute 0F0 5 6", "1 compute 1F0 6 9"), "late")
    assert (late.begin, late.makespan) == (5, 4)
    assert late.idle == (3, 1)
    assert late.idle_by_phase == ((3, 0, 0), (1, 0, 0))  # no backward: all of it is warm-up


def test_nothing_at_all():
    empty = Timeline.from_spans([], "empty", 2)
    assert (len(empty), empty.makespan, empty.bubble_fraction, empty.bubble_over_ideal) == (0, 0, 0, 0)
    assert empty.idle == empty.busy == empty.exposed_communication == empty.peak_activations == (0, 0)
    assert empty.gaps() == empty.critical_path() == []
    assert Timeline.from_spans([], "no ranks").num_ranks == 0


def test_a_rank_that_does_nothing_is_idle():
    timeline = Timeline.from_spans(spans("0 compute 0F0 0 4"), "one of two", 2)
    assert timeline.idle == (0, 4)
    assert timeline.bubble_fraction == 1 / 2
    assert timeline.bubble_over_ideal == 1
    assert timeline.peak_activations == (1, 0)


def test_where_only_messages_take_time_all_is_bubble():
    timeline = simulate(gpipe(2, 1), Costs(0, 0, 0, latency=1))
    assert (timeline.makespan, timeline.bubble_fraction, timeline.bubble_over_ideal) == (2, 1, inf)


# -- the named schedules -----------------------------------------------------------------------------------------------

sizes = given(st.integers(1, 8), st.integers(1, 12), st.fractions(0, 3), st.fractions(0, 3))


@sizes
def test_peak_activations_of_the_named_schedules(ranks, microbatches, forward, backward):
    """Whatever actions cost."""
    costs = Costs(forward, backward, backward)
    assert simulate(naive(ranks, microbatches), costs).peak_activations == (1,) * ranks
    assert simulate(gpipe(ranks, microbatches), costs).peak_activations == (microbatches,) * ranks
    least = tuple(min(ranks - rank, microbatches) for rank in range(ranks))
    assert simulate(one_f_one_b(ranks, microbatches), costs).peak_activations == least


@given(st.integers(1, 8), st.integers(1, 12))
def test_the_bubble_of_naive_is_all_ranks_but_one(ranks, microbatches):
    timeline = simulate(naive(ranks, microbatches))
    assert timeline.bubble_fraction == (ranks - 1) / ranks
    assert timeline.bubble_over_ideal == ranks - 1


# -- against the second implementation ---------------------------------------------------------------------------------


@given(timelines())
@settings(max_examples=150)
def test_makespan_and_idle_time(timeline):
    assert timeline.makespan == length(cells(timeline))
    assert timeline.idle == tuple(length(idle_cells(timeline, rank)) for rank in range(timeline.num_ranks))
    assert all(busy + idle == timeline.makespan for busy, idle in zip(timeline.busy, timeline.idle, strict=True))


@given(timelines())
@settings(max_examples=150)
def test_both_bubbles(timeline):
    idle, busy = Fraction(sum(timeline.idle)), Fraction(sum(timeline.busy))
    if idle + busy:
        assert timeline.bubble_fraction == pytest.approx(float(idle / (idle + busy)), rel=1e-12)
        assert 0 <= timeline.bubble_fraction <= 1
    if busy:
        assert timeline.bubble_over_ideal == pytest.approx(float(idle / busy), rel=1e-12)


@given(timelines())
@settings(max_examples=150)
def test_idle_time_by_phase(timeline):
    for rank, split in enumerate(timeline.idle_by_phase):
        idle = idle_cells(timeline, rank)
        assert split == tuple(length([c for c in idle if phase(timeline, rank, c) == p]) for p in range(3))
        assert sum(split) == timeline.idle[rank]


@given(timelines())
@settings(max_examples=150)
def test_exposed_communication(timeline):
    assert timeline.exposed_communication == tuple(exposed(timeline, rank) for rank in range(timeline.num_ranks))


@given(timelines(positive=True))
@settings(max_examples=100)
def test_activations_and_their_peak(timeline):
    for rank in range(timeline.num_ranks):
        expected = [held(timeline, rank, cell) for cell in cells(timeline)]
        times, counts = timeline.activations_over_time(rank)
        steps = [bisect_right(times.tolist(), middle(cell)) for cell in cells(timeline)]
        assert [counts[step - 1] if step else 0 for step in steps] == expected
        assert timeline.peak_activations[rank] == max(expected)
        assert list(times) == sorted(times)


@given(timelines())
def test_a_step_ends_with_nothing_held(timeline):
    for rank in range(timeline.num_ranks):
        _, counts = timeline.activations_over_time(rank)
        assert [*counts[-1:]] in ([], [0])


def test_figures_are_plain_numbers():
    """Of Python: they go into JSON as they are."""
    measured = Timeline.from_spans([span._replace(end=span.end + 0.5) for span in GPIPE.spans], "measured", 2)
    for timeline in (GPIPE, measured):
        figures = [timeline.makespan, timeline.bubble_fraction, *timeline.idle, *timeline.busy]
        figures += [*timeline.peak_activations, *timeline.exposed_communication, *sum(timeline.phases, ())]
        assert not any(isinstance(figure, np.generic) for figure in figures)
