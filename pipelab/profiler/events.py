"""Events: a Chrome trace file, event by event, in whatever state it is. A file of any size needs a few MB."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from msgspec import UNSET, UnsetType

_BLOCK = 1 << 20  # of the file, read at once. A longer event is taken for a damaged one
_STEP = 1 << 14  # of a zipped file
_LONGEST_HEADER = 1 << 24
_NEAR = 1 << 16  # the end of a text

_LIST = re.compile(r'"traceEvents"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
_ENDS = " \t\r\n,"  # of what is between
# An event's first two fields: where to go on after a damaged one. (The arguments of some begin with a name, too.)
_START = re.compile(r'\{\s*"(?:ph|name|cat)"\s*:\s*"[^"]*"\s*,\s*"')


class Arguments(msgspec.Struct, gc=False):
    """What is read of an event's `args`."""

    device: int | str | UnsetType = UNSET
    stream: int | str | UnsetType = UNSET
    correlation: Any = 0


class Event(msgspec.Struct, gc=False):
    """What is read of an event. The text of a float is kept, as bytes: b"1.5".

    Microseconds since 1970, to the nanosecond, have more digits than a float.
    """

    ph: str = ""
    cat: str = ""
    name: str = ""
    pid: int | str = "None"
    tid: int | str = "None"
    ts: Any = None
    dur: Any = 0
    args: Arguments = msgspec.field(default_factory=Arguments)


_EVENTS = msgspec.json.Decoder(list[Event], float_hook=str.encode)
#: Takes what JSON does not allow, too; slower.
_ONE = json.JSONDecoder(parse_float=str.encode, parse_constant=lambda name: None, strict=False)


class TraceFile:
    """The events of a trace file: JSON, an object or a bare array, perhaps gzipped, perhaps cut off or damaged.

    Iterate once. Only then are these known:

    header      what stands before the list of events; {} for a bare array
    damaged     how many events could not be read, and were left out
    truncated   does the file end before its list of events does?

    Iteration raises ValueError for a file that is not a trace, and OSError for one that can't be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.header: dict[str, Any] = {}
        self.damaged = 0
        self.truncated = False

    def __iter__(self) -> Iterator[Event]:
        with closing(_text(self.path)) as pieces:
            yield from chain.from_iterable(self._events(self._after_header(pieces), pieces))

    def _events(self, text: str, pieces: Iterator[str]) -> Iterator[Sequence[Event]]:
        """Every event in `text`, which begins inside the list, and in the pieces that follow."""
        at, more = 0, True
        singly = 0  # up to there event by event
        while True:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            if at >= singly:
                # All but the last, which may not be complete, at once. That fails if something in it is no JSON, has
                # fields of other types, or is no event; and so it does if only a part of an event begins like one.
                last = _last_start(text, at)
                singly = last if last > at else len(text)
                with suppress(msgspec.MsgspecError, RecursionError):
                    yield _EVENTS.decode(f"[{text[at:last].rstrip(_ENDS)}]")
                    at = last
            if text.startswith("]", at):
                return
            try:
                event, at = _ONE.raw_decode(text, at)
            except (ValueError, RecursionError):
                if more and len(text) - at < _BLOCK:  # not complete?
                    piece = next(pieces, None)
                    more = piece is not None
                    text, at, singly = text[at:] + (piece or ""), 0, max(0, singly - at)
                elif found := _START.search(text, at + 1):
                    self.damaged += 1
                    at = found.start()
                elif more:
                    text, at, singly = text[-100:], 0, 0  # the next start may lie across two pieces
                else:
                    self.truncated = True
                    return
            else:
                if isinstance(event, dict):
                    yield (_event(event),)
                else:
                    self.damaged += 1

    def _after_header(self, pieces: Iterator[str]) -> str:
        """The text from the first event on."""
        text = ""
        while len(text) < _LONGEST_HEADER:
            piece = next(pieces, None)
            text = (text + (piece or "")).lstrip()
            if text.startswith("["):
                return text[1:]
            if found := _LIST.search(text):
                self.header = _header(text[: found.start()])
                return text[found.end() :]
            if piece is None or text and not text.startswith("{"):
                break
        raise ValueError(f"{self.path} is no trace: {_reason(text)}")


def _last_start(text: str, at: int) -> int:
    """Where the last event begins; `at` if none does near the end."""
    last = at
    for found in _START.finditer(text, max(at, len(text) - _NEAR)):
        last = found.start()
    return last


def _event(found: dict[str, Any]) -> Event:
    """The same of an event that has fields of other types."""
    args = found.get("args")
    args = args if isinstance(args, dict) else {}
    where: dict[str, Any] = {key: _said(args[key]) for key in ("device", "stream") if key in args}
    process: dict[str, Any] = {key: _said(found[key]) for key in ("pid", "tid") if key in found}
    text = {key: str(_said(found[key])) for key in ("ph", "cat", "name") if key in found}
    arguments = Arguments(**where, correlation=args.get("correlation", 0))
    return Event(**text, **process, ts=found.get("ts"), dur=found.get("dur", 0), args=arguments)


def _said(value: Any) -> int | str:
    """A whole number, or text."""
    return value if type(value) is int else value.decode() if isinstance(value, bytes) else str(value)


def _header(text: str) -> dict[str, Any]:
    try:
        header = json.loads(text.rstrip().rstrip(",") + "}")
    except (ValueError, RecursionError):
        return {}  # nothing in it is needed
    return header if isinstance(header, dict) else {}


def _reason(text: str) -> str:
    if not text:
        return "there is nothing in it"
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON ({error})" if isinstance(error, ValueError) else "it is nested too deeply"
    keys = ", ".join(list(whole)[:5]) if isinstance(whole, dict) else type(whole).__name__
    return f"it is JSON, but holds no list of traceEvents, only {keys or 'nothing'}"


def _text(path: Path) -> Generator[str]:
    decode = codecs.getincrementaldecoder("utf-8-sig")(errors="replace").decode
    with open(path, "rb") as file:
        zipped = file.peek(2)[:2] == b"\x1f\x8b"
        for block in _unzipped(file) if zipped else iter(partial(file.read, _BLOCK), b""):
            yield decode(block)


def _unzipped(file: BinaryIO) -> Iterator[bytes]:
    """What a gzip file holds, up to where it is cut off or damaged; gzip's own reader would lose more of it."""
    unzip = zlib.decompressobj(wbits=31)
    try:
        while block := file.read(_STEP):
            while block:
                yield unzip.decompress(block, _STEP)  # in small steps, for one that fails yields nothing
                block = unzip.unconsumed_tail
                if unzip.eof:  # several files in one
                    block = unzip.unused_data
                    unzip = zlib.decompressobj(wbits=31)
        yield unzip.flush()
    except zlib.error:
        return
