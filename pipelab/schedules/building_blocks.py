"""What schedules with phases are written in: streams of actions, taken in turns."""

import gc
from collections.abc import Callable, Iterable, Iterator
from functools import partial, wraps
from itertools import chain, islice, repeat
from typing import ParamSpec

from ..ir import Action, Schedule

P = ParamSpec("P")

_action = partial(tuple.__new__, Action)  # in half the time of Action(...), on which a large schedule spends most


def stream(kind: str, stage: int, microbatches: Iterable[int]) -> Iterator[Action]:
    """One kind of action of one stage, micro-batch after micro-batch."""
    return map(_action, zip(repeat(kind), repeat(stage), microbatches, repeat(())))


def turns(count: int, *streams: Iterator[Action]) -> Iterator[Action]:
    """The next action of each stream in turn, `count` times over."""
    return chain.from_iterable(islice(zip(*streams, strict=False), count))


def all_at_once(build: Callable[P, Schedule]) -> Callable[P, Schedule]:
    """Garbage collection waits until the schedule is built.

    It would look through its many new actions again and again, for two thirds of the time at 64 ranks and 512
    micro-batches, and none of them is garbage.
    """

    @wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> Schedule:
        if not gc.isenabled():  # another thread builds one, too, or the user wants none
            return build(*args, **kwargs)
        gc.disable()
        try:
            return build(*args, **kwargs)
        finally:
            gc.enable()

    return built
