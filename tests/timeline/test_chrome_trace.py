"""Traces: exact there and back, of a structure that viewers draw, and damage is found."""

import json
from fractions import Fraction

import pytest
from hypothesis import example, given, settings, strategies as st

from pipelab import Action, Costs, Timeline, simulate
from pipelab.schedules import gpipe, one_f_one_b
from pipelab.timeline import Span, from_chrome_trace, to_chrome_trace

from .reference import BOTH_WAYS, timelines

times = st.integers(0, 10**9) | st.fractions(0, 1000) | st.floats(0, 1e9)


@st.composite
def measured(draw):
    """Spans of any times, on any stream."""
    rows = draw(
        st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["compute", "comm"]), st.integers(0, 5), times, times))
    )
    spans = [Span(r, stream, Action("F", 0, m), *sorted((a, b))) for r, stream, m, a, b in rows]
    return Timeline.from_spans(
        spans,
        draw(st.text(max_size=9)),
        4,
        source=draw(st.sampled_from(["simulated", "measured", "paced"])),
        unit=draw(st.sampled_from(["", "ms"])),
        free_at=draw(st.sampled_from("WI")),
        note=draw(st.text(max_size=9)),
    )


@given(timelines() | measured())
@settings(max_examples=200)
def test_round_trip(timeline):
    again = from_chrome_trace(to_chrome_trace(timeline))
    assert again == timeline
    assert sum(again.idle) == sum(timeline.idle)


def test_a_round_trip_keeps_fractions_and_whole_numbers():
    exact = simulate(gpipe(2, 2), Costs(forward=Fraction(1, 3), latency=Fraction(1, 7)))
    assert from_chrome_trace(to_chrome_trace(exact)).makespan == exact.makespan == 7 + Fraction(2, 7)
    whole = from_chrome_trace(to_chrome_trace(simulate(gpipe(2, 2))))
    assert {type(time) for span in whole.spans for time in span[3:]} == {int}


def test_reasons_and_the_critical_path_survive():
    timeline = simulate(one_f_one_b(3, 4), Costs(latency=1, blocking_sends=True))
    again = from_chrome_trace(to_chrome_trace(timeline))
    assert again.gaps() == timeline.gaps()
    assert again.critical_path() == timeline.critical_path()


# -- what a viewer needs -----------------------------------------------------------------------------------------------


def events(timeline, phase):
    return [event for event in json.loads(to_chrome_trace(timeline))["traceEvents"] if event["ph"] == phase]


def ns(event):
    """(start, end) of an event in whole nanoseconds, which is what viewers keep."""
    start = round(event["ts"] * 1000)
    return start, start + round(event.get("dur", 0) * 1000)


@given(timelines())
def test_every_event_is_complete(timeline):
    trace = json.loads(to_chrome_trace(timeline))
    assert trace["displayTimeUnit"] == "ms"
    for event in trace["traceEvents"]:
        assert event["ph"] in "MXsf"
        assert isinstance(event["name"], str)
        assert event["pid"] in range(timeline.num_ranks)
        assert event["name"] == "process_name" or event["tid"] in (0, 1)
        if event["ph"] != "M":
            assert isinstance(event["ts"], float)
    assert len(events(timeline, "X")) == len(timeline)


def test_ranks_and_streams_have_names():
    named = {(e["name"], e["pid"], e.get("tid")): e["args"]["name"] for e in events(simulate(gpipe(2, 1)), "M")}
    assert named == {
        ("process_name", 0, None): "rank 0",
        ("thread_name", 0, 0): "compute",
        ("thread_name", 0, 1): "comm",
        ("process_name", 1, None): "rank 1",
        ("thread_name", 1, 0): "compute",
        ("thread_name", 1, 1): "comm",
    }


@pytest.mark.parametrize(("unit", "ts"), [("s", 3e6), ("ms", 3000), ("us", 3), ("ns", 0.003)])
def test_a_known_unit_is_that_long(unit, ts):
    first, *_ = events(simulate(gpipe(1, 1), Costs(forward=3, unit=unit)), "X")
    assert first["dur"] == ts


def test_an_abstract_unit_is_a_millisecond():
    first, second, *_ = events(simulate(gpipe(1, 1), Costs(forward=3)), "X")
    assert (first["name"], first["cat"], first["ts"], first["dur"]) == ("0F0", "F", 0, 3000)
    assert (second["name"], second["cat"], second["ts"], second["dur"]) == ("0B0", "B", 3000, 2000)


@given(timelines())
@example(simulate(BOTH_WAYS, Costs(latency=1, bandwidth=1, message_bytes=[4, 1], blocking_sends=True)))
@example(simulate(BOTH_WAYS, Costs(latency=1, bandwidth=1, message_bytes=[1, 4], blocking_sends=True)))
@settings(max_examples=150)
def test_slices_of_a_thread_nest(timeline):
    """Viewers keep a stack of open slices: one that ends after the slice it began in is dropped or drawn wrong."""
    slices = sorted(events(timeline, "X"), key=lambda event: event["ts"])  # a stable sort, as viewers do
    stacks = {}
    for event in slices:
        start, end = ns(event)
        stack = stacks.setdefault((event["pid"], event["tid"]), [])
        while stack and stack[-1] <= start:
            stack.pop()
        assert not stack or end <= stack[-1]
        stack.append(end)


@given(timelines(positive=True))
@settings(max_examples=100)
def test_arrows_lead_from_the_need_to_the_action(timeline):
    """Each end of an arrow lies in one slice of its thread, and there is one arrow per need from another rank.

    It leaves what was needed where that ends, and comes to what needs it where this starts, on whichever stream.
    """
    by_place = {}
    for event in events(timeline, "X"):
        by_place.setdefault((event["pid"], event["tid"]), []).append((ns(event), event["name"]))

    def slice_at(event):
        found = by_place[event["pid"], event["tid"]]
        (((start, end), name),) = [each for each in found if each[0][0] <= ns(event)[0] < each[0][1]]
        return (event["pid"], Action.parse(name)), start, end

    tails = {event["id"]: event for event in events(timeline, "s")}
    heads = {event["id"]: event for event in events(timeline, "f")}
    assert tails.keys() == heads.keys()
    causes, drawn = timeline.dependencies, []
    for number, tail in tails.items():
        assert tail["ts"] <= heads[number]["ts"]
        assert heads[number]["bp"] == "e"
        (need, _, end), (doer, start, _) = slice_at(tail), slice_at(heads[number])
        assert (end, start) == (round(causes.extents[need][1] * 10**6), round(causes.extents[doer][0] * 10**6))
        drawn.append((need, doer))
    wanted = [(n, doer) for doer in causes.extents for n in causes.needs(doer[1]) if n[0] != doer[0]]
    assert sorted(drawn) == sorted(wanted)


# -- damage ------------------------------------------------------------------------------------------------------------

TRACE = to_chrome_trace(simulate(gpipe(2, 2), Costs(latency=Fraction(1, 3))))


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "oops", "[" * 10**5, TRACE[:-1], TRACE[: len(TRACE) // 2]])
def test_what_is_no_json(text):
    with pytest.raises(ValueError, match="not a trace: not JSON"):
        from_chrome_trace(text)


@pytest.mark.parametrize("text", ["[]", "3", "null", "{}", '{"traceEvents": []}', '{"otherData": {"format": "other"}}'])
def test_traces_that_others_wrote(text):
    with pytest.raises(ValueError, match="not a trace that pipelab wrote"):
        from_chrome_trace(text)


def damage(change):
    """The trace with its first span, its attributes and itself given to `change`."""
    trace = json.loads(TRACE)
    span = next(event for event in trace["traceEvents"] if event["ph"] == "X")
    change(span, trace["otherData"], trace)
    return json.dumps(trace)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda span, other, trace: span.update(name="0X0"), "'0X0' is not an action"),
        (lambda span, other, trace: span.update(name=7), "AttributeError"),
        (lambda span, other, trace: span.pop("name"), "KeyError: 'name'"),
        (lambda span, other, trace: span.update(pid=2), "0F0 is on rank 2"),
        (lambda span, other, trace: span.update(pid=-1), "0F0 is on rank -1"),
        (lambda span, other, trace: span.update(pid="0"), "0F0 is on rank 0"),
        (lambda span, other, trace: span.update(tid=2), "KeyError: 2"),
        (lambda span, other, trace: span.update(tid=-1), "KeyError: -1"),
        (lambda span, other, trace: span.pop("args"), "KeyError: 'args'"),
        (lambda span, other, trace: span["args"].pop("end"), "KeyError: 'end'"),
        (lambda span, other, trace: span["args"].update(start=None), "TypeError"),
        (lambda span, other, trace: span["args"].update(start="soon"), "soon"),
        (lambda span, other, trace: span["args"].update(start="1/0"), "ZeroDivisionError"),
        (lambda span, other, trace: span["args"].update(start=float("nan")), "nan is no time"),
        (lambda span, other, trace: span["args"].update(end=float("inf")), "inf is no time"),
        (lambda span, other, trace: span["args"].update(start=5, end=4), "from 5 to 4"),
        (lambda span, other, trace: other.pop("unit"), "KeyError: 'unit'"),
        (lambda span, other, trace: other.update(name=None), "name is None"),
        (lambda span, other, trace: other.update(num_ranks=1), "1F0 is on rank 1"),
        (lambda span, other, trace: other.update(num_ranks=-2), "num_ranks must be at least 0; got -2"),
        (lambda span, other, trace: other.update(num_ranks="2"), "num_ranks must be a whole number"),
        (lambda span, other, trace: other.update(source="dreamt"), "source is 'dreamt'"),
        (lambda span, other, trace: other.update(free_at="F"), "free_at is 'F'"),
        (lambda span, other, trace: other.update(journeys=[1, 1]), "2 stages have 1 boundaries"),
        (lambda span, other, trace: other.update(journeys=None), "TypeError"),
        (lambda span, other, trace: trace.pop("traceEvents"), "KeyError: 'traceEvents'"),
        (lambda span, other, trace: trace.update(traceEvents=None), "TypeError"),
        (lambda span, other, trace: other.update(num_ranks=1e300), "num_ranks is 1"),
        (lambda span, other, trace: trace.update(traceEvents={"ph": "X"}), "TypeError"),
        (lambda span, other, trace: trace["traceEvents"].append(3), "TypeError"),
    ],
)
def test_damage_is_named(change, said):
    with pytest.raises(ValueError, match="a damaged trace") as error:
        from_chrome_trace(damage(change))
    assert said in str(error.value)


@given(st.data())
@settings(max_examples=200)
def test_no_damage_raises_anything_else(data):
    """One value, anywhere in the trace, becomes another or is gone; what is still read is a timeline like any other."""
    trace = json.loads(TRACE)
    place, key = trace, None
    while isinstance(place if key is None else place[key], dict | list):
        place = place if key is None else place[key]
        if not place:
            break
        key = data.draw(st.sampled_from(sorted(place)) if isinstance(place, dict) else st.integers(0, len(place) - 1))
        if data.draw(st.integers(0, 5)) == 0:
            break
    junk = st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3)
    place[key] = data.draw(junk | st.lists(junk, max_size=2) | st.just({}))
    try:
        timeline = from_chrome_trace(json.dumps(trace))
    except ValueError:
        return
    assert timeline.makespan >= 0
    assert sum(gap.length for gap in timeline.gaps()) == pytest.approx(float(sum(timeline.idle)))
    timeline.critical_path()
    assert max(timeline.peak_activations) >= 0
