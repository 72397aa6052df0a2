"""Events: a Chrome trace file, event by event, in whatever state it is. A file of any size needs a few MB."""

from __future__ import annotations

import codecs
import json
import re
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

_BLOCK = 1 << 20  # of the file, read at once. A longer event is taken for a damaged one
_STEP = 1 << 14  # of a zipped file
_LONGEST_HEADER = 1 << 24

_LIST = re.compile(r'"traceEvents"\s*:\s*\[')
_BETWEEN = re.compile(r"[\s,]*")
# An event's first two fields: where to go on after a damaged one. (The arguments of some begin with a name, too.)
_START = re.compile(r'\{\s*"(?:ph|name|cat)"\s*:\s*"[^"]*"\s*,\s*"')

# The text of a float is kept: microseconds since 1970, to the nanosecond, have more digits than a float.
_DECODER = json.JSONDecoder(parse_float=str, parse_constant=lambda name: None, strict=False)


class TraceFile:
    """The events of a trace file: JSON, an object or a bare array, perhaps gzipped, perhaps cut off or damaged.

    Iterate once; each event is a dict in which a float is text ("1.5"). Only then are these known:

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

    def __iter__(self) -> Iterator[dict[str, Any]]:
        with closing(_text(self.path)) as pieces:
            yield from self._events(self._after_header(pieces), pieces)

    def _events(self, text: str, pieces: Iterator[str]) -> Iterator[dict[str, Any]]:
        """Every event in `text`, which begins inside the list, and in the pieces that follow."""
        at, more = 0, True
        while True:
            at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr]
            if text.startswith("]", at):
                return
            try:
                event, at = _DECODER.raw_decode(text, at)
            except (ValueError, RecursionError):
                if more and len(text) - at < _BLOCK:  # not complete?
                    piece = next(pieces, None)
                    more = piece is not None
                    text, at = text[at:] + (piece or ""), 0
                elif found := _START.search(text, at + 1):
                    self.damaged += 1
                    at = found.start()
                elif more:
                    text, at = text[-100:], 0  # the next start may lie across two pieces
                else:
                    self.truncated = True
                    return
            else:
                if isinstance(event, dict):
                    yield event
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
