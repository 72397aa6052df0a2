"""Span: one row of a timeline."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..ir import Action

#: The two streams of a rank.
COMPUTE, COMM = "compute", "comm"
STREAMS = (COMPUTE, COMM)


class Span(NamedTuple):
    """One action on one stream (COMPUTE or COMM) of one rank, from start to end.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> simulate(gpipe(2, 1)).spans[0]
    Span(rank=0, stream='compute', action=0F0, start=0, end=1)
    """

    rank: int
    stream: str
    action: Action
    start: Any
    end: Any


def is_send(action: Action) -> bool:
    """Is it a blocking send? No other message has a span of its own."""
    return action.kind.startswith("SEND")
