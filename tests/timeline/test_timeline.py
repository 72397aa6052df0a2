"""Timeline: rows and columns are the same, and equal is what has the same spans."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pipelab import Action, Costs, Timeline, simulate
from pipelab.schedules import gpipe
from pipelab.timeline import COMM, COMPUTE, Span, to_chrome_trace

from .reference import timelines

GPIPE_SCHEDULE = gpipe(2, 2)
GPIPE = simulate(GPIPE_SCHEDULE)


def test_whole_actions_reach_from_their_first_segment_to_their_last():
    f0, b0 = Action.parse("0F0"), Action.parse("0B0")
    spans = [
        Span(0, "compute", f0, 1, 2),
        Span(0, "comm", f0, 2, 5),
        Span(0, "compute", f0, 6, 7),
        Span(0, "compute", b0, 7, 9),
    ]
    timeline = Timeline.from_spans(spans, "segmented", source="paced", unit="ms", note="emulated link")
    whole = timeline.whole_actions()
    assert whole.spans == (Span(0, "compute", f0, 1, 7), Span(0, "compute", b0, 7, 9))
    assert (whole.name, whole.source, whole.unit, whole.note) == ("segmented", "paced", "ms", "emulated link")
    assert whole.makespan == timeline.makespan


@given(timelines(), st.randoms(use_true_random=False))
def test_rows_in_any_order_make_an_equal_timeline(timeline, random):
    rows = [*timeline.spans]
    random.shuffle(rows)
    again = Timeline.from_spans(rows, **timeline.attributes)
    assert again == timeline
    assert [(span.rank, span.start) for span in again.spans] == sorted((span.rank, span.start) for span in rows)


@pytest.mark.parametrize(
    "change",
    [{"name": "other"}, {"num_ranks": 3}, {"source": "measured"}, {"unit": "ms"}, {"free_at": "I"}, {"note": "n"}]
    + [
        {"journeys": (1,)},
        {"end": GPIPE.end + 1},
        {"actions": GPIPE.actions[::-1]},
        {"stream": np.full(len(GPIPE), COMM)},
    ],
)
def test_whatever_differs_makes_it_another_timeline(change):
    assert replace(GPIPE) == GPIPE
    assert replace(GPIPE, **change) != GPIPE


def test_a_unit_has_one_name():
    timeline = replace(GPIPE, unit="µs")
    assert timeline == replace(GPIPE, unit="us")
    assert timeline.in_unit("ns").makespan == 1000 * GPIPE.makespan
    assert json.loads(to_chrome_trace(timeline))["traceEvents"][-1]["ts"] < 100
    with pytest.raises(ValueError, match="unit must be text"):
        replace(GPIPE, unit=None)


def test_a_stream_is_what_it_says():
    timeline = simulate(gpipe(2, 2), Costs(1, 1, 1, forward_comm=2))
    assert [span.stream == COMPUTE for span in timeline.spans] == (timeline.stream == COMPUTE).tolist()
    assert {span.stream: span.end - span.start for span in timeline.spans if span.action.kind == "F"} == {
        COMPUTE: 1,
        COMM: 2,
    }


@pytest.mark.parametrize("stream", [np.zeros(len(GPIPE), int), np.full(len(GPIPE), "computation")])
def test_there_is_no_other_stream(stream):
    """A timeline of 0.1.0 had numbers there, which would now be neither."""
    with pytest.raises(ValueError, match="a span's stream is 'compute' or 'comm'; got"):
        replace(GPIPE, stream=stream)


def test_it_is_no_other_thing_and_has_no_hash():
    assert GPIPE != "gpipe"
    with pytest.raises(TypeError, match="unhashable"):
        hash(GPIPE)


def test_in_a_notebook_it_is_one_line_with_its_main_figure():
    assert repr(GPIPE) == "<Timeline gpipe, simulated: 2 ranks, 8 spans, makespan 9>"
    assert "0 spans" in repr(Timeline.from_spans([], "empty"))
