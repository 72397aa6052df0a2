"""What schedules are written in: streams of actions, taken in turns.

An action is a code here, a whole number (see ir/codes.py): a large schedule is then built and kept in a tenth of the
time and memory. A Schedule takes codes as it takes Actions, and shows Actions.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

from ..amounts import whole
from ..ir.codes import SECOND, code

Stream = Iterator[int]


def stream(kind: str, stage: int, microbatches: Iterable[int]) -> Stream:
    """One kind of action of one stage, micro-batch after micro-batch."""
    stage = whole(stage, "a stage")
    numbers = microbatches if isinstance(microbatches, range) else [*map(whole, microbatches, repeat("a micro-batch"))]
    for number in (min(numbers), max(numbers)) if numbers else ():
        code(kind, stage, number)  # refuses what is none
    first = code(kind, stage, 0)
    if isinstance(numbers, range):
        return iter(range(first + numbers.start, first + numbers.stop, numbers.step))
    return map(first.__add__, numbers)


def turns(count: int, *streams: Stream) -> Stream:
    """The next action of each stream in turn, `count` times over."""
    return chain.from_iterable(islice(zip(*streams, strict=False), count))


def overlapped(forwards: Stream, backwards: Stream) -> tuple[Stream, Stream]:
    """Two streams to be taken in turns, one after the other: each forward overlapped with the backward beside it."""
    return forwards, map(SECOND.__add__, backwards)
