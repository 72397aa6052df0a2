"""Streams: a rank does two things at once, computes and communicates; each stream does one thing after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from torch import Tensor

from ..timeline import COMM, COMPUTE
from .pace import sleep_until
from .segmented import Exchange

_Result = TypeVar("_Result")

_SKEW = 0.25  # of an exchange's prescribed duration: rows that come later than this waited for the other rank


class SegmentSpan(NamedTuple):
    """One segment on one stream: what it was, such as "dispatch", of a forward or backward, in seconds of monotonic."""

    name: str
    direction: str  # "F", "B" or "W"
    stream: str
    start: float
    end: float


class Link(NamedTuple):
    """An emulated link for exchanges: each takes latency + bytes / bandwidth, in seconds and bytes per second."""

    latency: float = 0.0
    bandwidth: float | None = None

    def seconds(self, exchange: Exchange) -> float:
        return self.latency + (exchange.bytes / self.bandwidth if self.bandwidth else 0.0)


class Streams:
    """The two streams of a rank, and the clock that says how far its computation is.

    link      emulates a slow link: rows that have come are held back until they would have. None: the link is real.
    blocking  True: an exchange is waited for as soon as it is started, so that nothing hides it

    A segment for which `seconds` are prescribed does its real work and is then held until they are over. Then the clock
    shows when segments should have ended, not when they did: the system's small delays don't add up (see `Pace`).
    """

    def __init__(self, link: Link | None = None, blocking: bool = False) -> None:
        self.link, self.blocking = link, blocking
        self.spans: list[SegmentSpan] = []
        self.lateness: list[tuple[float, float]] = []  # (seconds held to, seconds late) of every segment so held
        self.clock = time.monotonic()
        self.last: Flight | None = None

    def compute(
        self, direction: str, work: Callable[[], _Result], name: Callable[[_Result], str], seconds: float | None = None
    ) -> _Result:
        """Do some work on the compute stream. name: of what it has made, what to call it."""
        began = time.monotonic()
        start = self.clock if seconds is not None else began
        result = work()
        if seconds is not None:
            self.clock = start + seconds
            self.lateness.append((seconds, max(0.0, time.monotonic() - self.clock)))
            sleep_until(self.clock)
        end = time.monotonic()
        if seconds is None:
            self.clock = end
        if seconds is None or seconds:
            self.spans.append(SegmentSpan(name(result), direction, COMPUTE, began, end))
        return result

    def start(self, exchange: Exchange, direction: str, seconds: float | None = None) -> Flight:
        """Let rows travel on the comm stream, once those before have come. seconds: if any, in place of the link's."""
        ready = time.monotonic() if seconds is None else self.clock
        if not seconds and self.link is not None:
            seconds = self.link.seconds(exchange)
        flight = self.last = Flight(self, exchange, direction, ready, seconds)
        if self.blocking:
            flight.wait()
        return flight

    def take(self) -> list[SegmentSpan]:
        """The spans since the last time; lateness begins anew, too. The comm stream is empty then."""
        taken = self.spans
        self.spans, self.lateness, self.last = [], [], None
        return taken


class Flight:
    """Rows on their way. ready: when they were ready, by the clock; seconds: how long they take, if prescribed."""

    def __init__(
        self, streams: Streams, exchange: Exchange, direction: str, ready: float, seconds: float | None
    ) -> None:
        self.streams, self.name, self.direction = streams, exchange.name, direction
        self.ready, self.seconds = ready, seconds
        self.before = streams.last
        self.began = time.monotonic()
        self.arrived: float | None = None  # really
        self.end: float | None = None  # on this stream, of this link
        self.work, self.came = exchange.start()
        if self.work is None:
            self.arrived = self.began
        else:
            self.work.get_future().add_done_callback(self._note)

    def _note(self, _: Any) -> None:
        self.arrived = time.monotonic()

    def wait(self) -> Tensor:
        """The rows that came."""
        streams, end = self.streams, self._landed()
        if self.seconds is not None:
            sleep_until(end)
            streams.clock = max(streams.clock, end)
        else:
            streams.clock = time.monotonic()
        return self.came

    def _landed(self) -> float:
        """When these rows, and all that were sent before them, have come."""
        if self.end is not None:
            return self.end
        free = self.before._landed() if self.before else 0.0
        self.before = None
        if self.work is not None:
            self.work.wait()
        arrived = self.arrived or time.monotonic()  # the note may be a moment behind
        begin = max(self.ready, free)
        if self.seconds is None:
            self.end = max(begin, arrived)
        else:
            if arrived - self.began > _SKEW * self.seconds:
                begin = max(begin, arrived)
            self.end = begin + self.seconds
        start = max(begin, self.began)
        self.streams.spans.append(SegmentSpan(self.name, self.direction, COMM, start, max(start, self.end)))
        return self.end
