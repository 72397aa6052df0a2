"""Chrome trace: timelines as trace files, which Perfetto (ui.perfetto.dev) opens, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, get_args

from ..amounts import at_least
from ..ir import Action
from .span import STREAMS, Span
from .timeline import ATTRIBUTES, Source, Timeline
from .units import NANOSECONDS

_ABSTRACT = 10**6  # ns
_STREAM_OF = dict(enumerate(STREAMS))

_MOST_RANKS = 2**16  # of a damaged number, the figures of every rank would take for ever


def to_chrome_trace(timeline: Timeline) -> str:
    """The JSON text of a Chrome trace: one process per rank, one thread per stream, arrows from need to action.

    Write it to a ``.json`` file and open that in ui.perfetto.dev or chrome://tracing. Viewers know no abstract units:
    one is shown as a millisecond, and so is a unit that is not known.

    Parameters
    ----------
    timeline : Timeline
        Simulated or measured.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> text = to_chrome_trace(simulate(gpipe(2, 2)))
    >>> [event["name"] for event in json.loads(text)["traceEvents"] if event["ph"] == "X" and event["pid"] == 1]
    ['1F0', '1F1', '1B0', '1B1']

    References
    ----------
    Google, *Trace Event Format*, docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
    """
    journeys = [_exact(time) for time in timeline.journeys]
    other = {"format": "pipelab", **timeline.attributes, "journeys": journeys}
    scale = NANOSECONDS.get(timeline.unit, _ABSTRACT)
    events = [*_names(timeline), *_spans(timeline, scale), *_arrows(timeline, scale)]
    return json.dumps({"displayTimeUnit": "ms", "otherData": other, "traceEvents": events})


def _names(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for rank in range(timeline.num_ranks):
        yield {"ph": "M", "name": "process_name", "pid": rank, "args": {"name": f"rank {rank}"}}
        for stream, name in enumerate(STREAMS):
            yield {"ph": "M", "name": "thread_name", "pid": rank, "tid": stream, "args": {"name": name}}


def _spans(timeline: Timeline, scale: int) -> Iterator[dict[str, Any]]:
    # Viewers nest the slices of a thread: of two that start together, the longer one (of two sends) must come first.
    for rank, stream, action, start, end in sorted(timeline.spans, key=lambda span: (span.start, -span.end)):
        what = {"name": str(action), "cat": action.kind, "pid": rank, "tid": STREAMS.index(stream)}
        when = {"ts": _us(_ns(start, scale)), "dur": _us(_ns(end, scale) - _ns(start, scale))}
        yield {"ph": "X", **what, **when, "args": {"start": _exact(start), "end": _exact(end)}}


def _arrows(timeline: Timeline, scale: int) -> Iterator[dict[str, Any]]:
    first: dict[tuple[int, Action], Span] = {}
    last: dict[tuple[int, Action], Span] = {}
    for span in timeline.spans:
        doer = span.rank, span.action
        first[doer] = min(first.get(doer, span), span, key=lambda span: span.start)
        last[doer] = max(last.get(doer, span), span, key=lambda span: span.end)
    number = 0
    for (rank, action), begins in first.items():
        for need in timeline.dependencies.needs(action):
            if need[0] != rank:
                number += 1
                ends = last[need]
                # A viewer ties an arrow to the slice around its time, and where one slice ends the next may begin.
                middle = (_ns(ends.start, scale) + _ns(ends.end, scale)) // 2
                common = {"cat": "needs", "name": "needs", "id": number}
                yield {"ph": "s", "pid": ends.rank, "tid": STREAMS.index(ends.stream), "ts": _us(middle), **common}
                arrives = {"tid": STREAMS.index(begins.stream), "ts": _us(_ns(begins.start, scale))}
                yield {"ph": "f", "bp": "e", "pid": rank, **arrives, **common}


def from_chrome_trace(text: str) -> Timeline:
    """Read what :func:`to_chrome_trace` wrote, exactly.

    Parameters
    ----------
    text : str
        The JSON.

    Raises
    ------
    ValueError
        For any other text.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> timeline = simulate(gpipe(2, 2))
    >>> from_chrome_trace(to_chrome_trace(timeline)) == timeline
    True
    """
    try:
        trace = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not a trace: not JSON ({error})") from None
    other = trace.get("otherData") if isinstance(trace, dict) else None
    if not isinstance(other, dict) or other.get("format") != "pipelab":
        raise ValueError("not a trace that pipelab wrote: its otherData does not say format: pipelab")
    try:
        spans = [_span(event) for event in trace["traceEvents"] if event["ph"] == "X"]
        attributes = _attributes(other)
        ranks = range(attributes["num_ranks"])
        if stray := [span for span in spans if span.rank not in ranks or span.end < span.start]:
            raise ValueError(f"{stray[0].action} is on rank {stray[0].rank} from {stray[0].start} to {stray[0].end}")
        stages = 1 + max((part.stage for span in spans for part in span.action.computes), default=0)
        if attributes["journeys"] and len(attributes["journeys"]) != stages - 1:
            raise ValueError(f"{stages} stages have {stages - 1} boundaries; journeys: {other['journeys']}")
        return Timeline.from_spans(spans, **attributes)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, ZeroDivisionError) as error:
        raise ValueError(f"a damaged trace: {type(error).__name__}: {error}") from None


def _span(event: dict[str, Any]) -> Span:
    start, end = (_number(event["args"][key]) for key in ("start", "end"))
    return Span(event["pid"], _STREAM_OF[event["tid"]], Action.parse(event["name"]), start, end)


def _attributes(other: dict[str, Any]) -> dict[str, Any]:
    """A timeline's attributes; ValueError or TypeError for a value that no timeline has."""
    attributes = {key: other[key] for key in ATTRIBUTES}
    choices = {"source": get_args(Source), "free_at": ("W", "I")}
    for key, value in attributes.items():
        if key == "num_ranks":
            attributes[key] = at_least(0, value, key)
            if attributes[key] > _MOST_RANKS:
                raise ValueError(f"num_ranks is {attributes[key]}; at most {_MOST_RANKS} are read")
        elif key == "journeys":  # which may be fractions
            attributes[key] = tuple(map(_number, value))
        elif not isinstance(value, str) or value not in choices.get(key, (value,)):
            raise ValueError(f"{key} is {value!r}")
    return attributes


def _ns(time: Any, scale: int) -> int:
    """Whole nanoseconds, as viewers count, so that what ends where another begins does so there, too."""
    return round(time * scale)


def _us(ns: int) -> float:
    """A trace file is written in microseconds."""
    return ns / 1000


def _exact(value: Any) -> Any:
    """JSON has no fractions: "1/3"."""
    return value if isinstance(value, int | float) else str(value)


def _number(value: Any) -> Any:
    number = Fraction(value) if isinstance(value, str) else value + 0  # TypeError for anything but a number
    if number - number != 0:
        raise ValueError(f"{number} is no time")
    return number
