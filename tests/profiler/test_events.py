"""Trace files in every state: in all their shapes, cut off anywhere, damaged anywhere, and none at all."""

import gzip
import json
import tracemalloc

import pytest
from hypothesis import given, settings, strategies as st

from pipelab.profiler import events as module
from pipelab.profiler.events import Arguments, Event, TraceFile
from tests.profiler.traces import overlapped

TRACE = overlapped()
TEXT = TRACE.text()


def read_of(event):
    """What is read of an event that is written with whole numbers."""
    args = {key: value for key, value in event.get("args", {}).items() if key in Arguments.__struct_fields__}
    return Event(**{**event, "args": Arguments(**args)})


EVENTS = [read_of(event) for event in TRACE.events]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Where hypothesis's examples write their file, one after the other."""
    return tmp_path_factory.mktemp("traces") / "trace"


def read(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    trace = TraceFile(path)
    return list(trace), trace


INDENTED = json.dumps({"schemaVersion": 1, "traceEvents": TRACE.events, "traceName": "x"}, indent=2)
SHAPES = {
    "an object": TEXT,
    "an indented object": INDENTED,
    "a bare array": json.dumps(TRACE.events),
    "an indented array": "\n  " + json.dumps(TRACE.events, indent=1),
    "with a byte-order mark": "\ufeff" + TEXT,
    "gzipped": gzip.compress(TEXT.encode()),
    "gzipped in two parts": gzip.compress(TEXT[:999].encode()) + gzip.compress(TEXT[999:].encode()),
    "a comma after the last event": TEXT.replace("}]}", "},]}"),
    "without an end after its list": TEXT[:-1],
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("block", [16, 1000, 1 << 20])
def test_every_shape_has_the_same_events(path, monkeypatch, shape, block):
    monkeypatch.setattr(module, "_BLOCK", max(block, 512))  # an event must fit
    found, trace = read(path, SHAPES[shape])
    assert found == EVENTS
    assert (trace.damaged, trace.truncated) == (0, False)


def test_the_header_is_known(path):
    _, trace = read(path, TEXT)
    assert trace.header == TRACE.header
    _, trace = read(path, json.dumps(TRACE.events))
    assert trace.header == {}


@given(st.integers(0, len(TEXT) - 2))
@settings(max_examples=150)
def test_cut_off_anywhere(path, length):
    """What came before the cut is read; and that it was cut is known, unless only the end of the object is missing."""
    begin = TEXT.index("[") + 1
    if length < begin:
        with pytest.raises(ValueError, match="is no trace"):
            read(path, TEXT[:length])
        return
    found, trace = read(path, TEXT[:length])
    whole = sum(1 for end in ends(TEXT, begin) if end <= length)
    assert found == EVENTS[:whole]
    assert trace.truncated
    assert trace.damaged == 0


def ends(text, at):
    """Where each event ends."""
    for event in TRACE.events:
        at += len(json.dumps(event))
        yield at
        at += len(", ")


@given(st.floats(0.4, 0.99))
@settings(max_examples=30)
def test_a_gzipped_file_that_is_cut_off(path, part):
    many = json.dumps({"traceEvents": [{**event, "number": i} for i in range(60) for event in TRACE.events]})
    packed = gzip.compress(many.encode())
    found, trace = read(path, packed[: int(part * len(packed))])
    assert trace.truncated
    assert found == (60 * EVENTS)[: len(found)]
    assert len(found) > 100


def test_a_gzipped_file_that_is_damaged(path):
    many = json.dumps([{**event, "number": i} for i in range(200) for event in TRACE.events])
    packed = bytearray(gzip.compress(many.encode()))
    packed[len(packed) // 2] ^= 0xFF
    found, trace = read(path, bytes(packed))
    assert trace.truncated or trace.damaged
    assert found[:100] == (200 * EVENTS)[:100]


@given(st.data())
@settings(max_examples=200)
def test_damaged_anywhere(path, data):
    """One character of one event, and no other event is missing."""
    victim = data.draw(st.integers(0, len(TRACE.events) - 2))
    texts = [json.dumps(event) for event in TRACE.events]
    place = data.draw(st.integers(1, len(texts[victim]) - 1))
    texts[victim] = texts[victim][:place] + data.draw(st.sampled_from('"}{[]:,\\x\0')) + texts[victim][place + 1 :]
    found, trace = read(path, '{"traceEvents": [' + ", ".join(texts) + "]}")
    others = EVENTS[:victim] + EVENTS[victim + 1 :]
    assert [event for event in found if event in others] == others
    assert not trace.truncated
    assert trace.damaged or len(found) >= len(TRACE.events)


def test_damage_is_counted(path):
    broken = TEXT.replace('"name": "attn(F)"', '"name": "attn"F"', 1)
    found, trace = read(path, broken)
    assert found == [event for event in EVENTS if event.name != "attn(F)"]
    assert (trace.damaged, trace.truncated) == (1, False)


def test_an_event_that_never_ends_is_given_up(path, monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 4096)
    endless = '{"ph": "X", "cat": "kernel", "name": "' + "x" * 20_000
    found, trace = read(path, TEXT.replace("[", "[" + endless + ", ", 1))
    assert found == EVENTS
    assert trace.damaged == 1


@pytest.mark.parametrize("more", ["", ', "x": NaN, "y": [1, -Infinity]'])  # which is no JSON, but Python writes it
def test_floats_keep_all_their_digits(path, more):
    (event,), _ = read(path, '[{"ph": "X", "ts": 1740461679470692.123, "dur": 1e-3' + more + "}]")
    assert event == Event(ph="X", ts=b"1740461679470692.123", dur=b"1e-3")


@pytest.mark.parametrize("first", ["", '{"ph": "X", "name": "before", "tid": 1}, '])
@pytest.mark.parametrize("last", ["", ', {"ph": "X", "name": "after"}'])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ('"name": 1.50', {"name": "1.50"}),
        ('"cat": null', {"cat": "None"}),
        ('"tid": true', {"tid": "True"}),
        ('"pid": 1e5', {"pid": "1e5"}),
        ('"tid": 12345678901234567890123', {"tid": 12345678901234567890123}),
        ('"ts": 1e400', {"ts": b"1e400"}),
        ('"ts": NaN', {"ts": None}),
        ('"ts": "5"', {"ts": "5"}),
        ('"ts": 1, "ts": 2', {"ts": 2}),
        ('"args": [1]', {}),
        ('"args": {"stream": 7.5}', {"args": Arguments(stream="7.5")}),
        ('"args": {"device": null, "correlation": "x"}', {"args": Arguments(device="None", correlation="x")}),
        (r'"name": "\ud800"', {"name": "\ud800"}),
    ],
)
def test_odd_fields(path, first, last, field, value):
    """They are as they are written, whatever stands around them."""
    found, trace = read(path, "[" + first + '{"ph": "X", "s": "t", ' + field + "}" + last + "]")
    odd = Event(ph="X", **{"name": "", **value})
    around = [Event(ph="X", name="before", tid=1)] * bool(first), [Event(ph="X", name="after")] * bool(last)
    assert found == [*around[0], odd, *around[1]]
    assert trace.damaged == 0


def test_control_characters_and_broken_text_in_names(path):
    (event,), trace = read(path, b'[{"ph": "X", "name": "a\tb\xff"}]')
    assert event.name == "a\tb\ufffd"
    assert trace.damaged == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "there is nothing in it"),
        (" \n ", "there is nothing in it"),
        ("hello", "it is not JSON"),
        ("<html><body>404</body></html>", "it is not JSON"),
        (b"\x89PNG\r\n\x1a\n", "it is not JSON"),
        (b"\x1f\x8bnothing", "there is nothing in it"),
        ("{", "it is not JSON"),
        ('{"a": 1, "b": [2]}', "holds no list of traceEvents, only a, b"),
        ('{"traceEvents": 3}', "holds no list of traceEvents, only traceEvents"),
        ("{}", "holds no list of traceEvents, only nothing"),
        ("3", "holds no list of traceEvents, only int"),
    ],
)
def test_what_is_no_trace(path, content, reason):
    with pytest.raises(ValueError, match=f"is no trace: .*{reason}"):
        read(path, content)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        list(TraceFile(tmp_path / "nothing.json"))
    with pytest.raises(IsADirectoryError):
        list(TraceFile(tmp_path))


def test_a_file_without_a_list_is_not_read_to_its_end(path, monkeypatch):
    monkeypatch.setattr(module, "_LONGEST_HEADER", 2000)
    with pytest.raises(ValueError, match="is no trace"):
        read(path, '{"a": "' + "x" * (2 << 20) + '", "traceEvents": []}')


def test_brackets_without_end(path):
    found, trace = read(path, "[" * 500_000)
    assert found == []
    assert trace.truncated


def test_memory_does_not_grow_with_the_file(path):
    """It takes the text and the events of two blocks; to load the whole file would take some times its size."""
    one = json.dumps([{**event, "args": {"grid": [4096, 1, 1], **event["args"]}} for event in TRACE.events])[1:-1]
    path.write_text('{"traceEvents": [' + ", ".join([one] * 5000) + "]}")
    assert path.stat().st_size > 12e6
    tracemalloc.start()
    count = sum(1 for _ in TraceFile(path))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 5000 * len(TRACE.events)
    assert most < 8e6
