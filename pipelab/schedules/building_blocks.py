"""What schedules are written in: streams of actions, taken in turns."""

from collections.abc import Iterable, Iterator
from itertools import chain, islice, repeat

from ..ir import Action
from ..ir.action import OVERLAP


def stream(kind: str, stage: int, microbatches: Iterable[int]) -> Iterator[Action]:
    """One kind of action of one stage, micro-batch after micro-batch."""
    # tuple.__new__ takes half the time of Action(...), on which a large schedule spends most.
    return map(tuple.__new__, repeat(Action), zip(repeat(kind), repeat(stage), microbatches, repeat(())))


def turns(count: int, *streams: Iterator[Action]) -> Iterator[Action]:
    """The next action of each stream in turn, `count` times over."""
    return chain.from_iterable(islice(zip(*streams, strict=False), count))


def pairs(forwards: Iterator[Action], backwards: Iterator[Action]) -> Iterator[Action]:
    """Each forward overlapped with the backward beside it."""
    for pair in zip(forwards, backwards, strict=False):
        yield tuple.__new__(Action, (OVERLAP, *pair[0][1:3], pair))
