"""Columns: every action once, in order, whatever the spans are like."""

from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from pipelab import Action, Costs, Timeline, simulate
from pipelab.ir.codes import actions_of
from pipelab.schedules import dualpipe, one_f_one_b, zb_v
from pipelab.timeline import Span
from tests.ir.generate import valid_schedules
from tests.simulator.reference import random_costs


@given(st.data())
@settings(max_examples=100)
def test_spans_in_any_order_make_the_same_columns(data):
    schedule = data.draw(valid_schedules())
    timeline = simulate(schedule, data.draw(random_costs(schedule.num_stages)))
    spans = [*timeline.spans]
    Random(data.draw(st.integers(0, 99))).shuffle(spans)
    order = sorted(range(len(spans)), key=lambda i: spans[i].rank)
    columns = zip(*(spans[i] for i in order), strict=True)
    rank, stream, actions, start, end = columns
    shuffled = Timeline.from_spans([Span(*each) for each in zip(rank, stream, actions, start, end, strict=True)], "x")
    for mine, theirs in zip(shuffled.columns[4:], timeline.columns[4:], strict=True):
        assert mine.tolist() == theirs.tolist()


@given(st.data())
@settings(max_examples=100)
def test_each_action_is_one_row_from_its_first_start_to_its_last_end(data):
    schedule = data.draw(valid_schedules())
    timeline = simulate(schedule, data.draw(random_costs(schedule.num_stages)))
    expected = {}
    for rank, _, action, start, end in timeline.spans:
        low, high = expected.get((rank, action), (start, end))
        expected[rank, action] = min(low, start), max(high, end)
    columns = timeline.columns
    rows = zip(columns.rank.tolist(), actions_of(columns.codes), strict=True)
    times = zip(columns.start.tolist(), columns.end.tolist(), strict=True)
    assert dict(zip(rows, times, strict=True)) == expected
    assert len(columns.rank) == len(expected)
    assert (columns.rank[1:] >= columns.rank[:-1]).all()


def test_numbers_out_of_all_proportion_take_no_memory():
    spans = [Span(0, "compute", Action("F", 0, m), m % 7, m % 7 + 1) for m in (0, 2**31 - 1, 10**9)]
    timeline = Timeline.from_spans([*spans, Span(1, "compute", Action("F", 1, 10**9), 9, 10)], "far apart")
    assert [gap.waits_for for gap in timeline.gaps() if gap.rank == 1] == [Action("F", 0, 10**9)]
    assert timeline.peak_activations == (1, 1)


@pytest.mark.parametrize("schedule", [one_f_one_b(4, 8), zb_v(4, 8), dualpipe(4, 8)])
@pytest.mark.parametrize("unit", [1, 0.3, Fraction(1, 3)])
def test_figures_need_no_actions(schedule, unit):
    """They come from columns: of a large timeline, a million Actions would take longer than all else."""
    timeline = simulate(schedule, Costs(unit, unit, 2 * unit))
    assert timeline.idle_by_phase
    assert timeline.peak_activations
    assert timeline.exposed_communication
    assert timeline.dependencies.last_message
    assert "actions" not in vars(timeline)
    assert "actions" not in vars(timeline.dependencies)
    assert len(timeline.actions) == len(timeline) == len(timeline.spans)


def test_actions_may_have_the_numbers_of_any_library():
    spans = [Span(s, "compute", Action(np.str_("F"), np.int64(s), 0.0), s, s + 1) for s in range(2)]
    timeline = Timeline.from_spans(spans, "numpy")
    assert (timeline.idle, timeline.peak_activations) == ((1, 1), (1, 1))
    assert timeline.gaps()[1].reason == "rank 1 waits for 0F0 from rank 0"
    assert timeline.dependencies.last_message(1, Action("F", 1, 0)) == ((0, Action("F", 0, 0)), 1)


def test_what_is_done_twice_counts_where_it_is_done_first():
    spans = [Span(rank, "compute", Action("F", 0, 0), 0, rank + 1) for rank in (0, 1)]
    dependencies = Timeline.from_spans([*spans, Span(2, "compute", Action("F", 1, 0), 2, 3)], "twice").dependencies
    (needed,) = dependencies.needs(Action("F", 1, 0))
    assert dependencies.last_message(2, Action("F", 1, 0)) == (needed, 1)


def test_a_timeline_of_what_is_no_action_says_so():
    timeline = Timeline.from_spans([Span(0, "compute", Action("X", 0, 0), 0, 1)], "odd")
    with pytest.raises(ValueError, match="'X' is no kind of action"):
        _ = timeline.idle
