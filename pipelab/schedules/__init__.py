"""The named schedules, one short file each."""

from collections.abc import Callable

from ..ir import Schedule
from .dualpipe import dualpipe
from .dualpipe_v import dualpipe_v
from .gpipe import gpipe
from .interleaved import interleaved_1f1b
from .naive import naive
from .one_f_one_b import one_f_one_b
from .zero_bubble import zb_h1, zb_h2, zb_v

__all__ = [
    "SCHEDULES",
    "build",
    "dualpipe",
    "dualpipe_v",
    "gpipe",
    "interleaved_1f1b",
    "naive",
    "one_f_one_b",
    "zb_h1",
    "zb_h2",
    "zb_v",
]

#: name on the command line and in the explorer -> builder(ranks, microbatches); of interleaved also (…, chunks)
SCHEDULES: dict[str, Callable[..., Schedule]] = {
    "naive": naive,
    "gpipe": gpipe,
    "1f1b": one_f_one_b,
    "interleaved": interleaved_1f1b,
    "zb-h1": zb_h1,
    "zb-h2": zb_h2,
    "zb-v": zb_v,
    "dualpipe": dualpipe,
    "dualpipe-v": dualpipe_v,
}


def build(name: str, ranks: int, microbatches: int, chunks: int | None = None) -> Schedule:
    """The schedule of that name. `chunks`, the stages per rank, only where the schedule has a choice: interleaved.

    >>> build("gpipe", 4, 8).num_ranks
    4
    >>> build("interleaved", 4, 8, chunks=3).num_stages
    12
    """
    if name not in SCHEDULES:
        raise ValueError(f"no schedule is called {name!r}; there are {', '.join(SCHEDULES)}")
    return SCHEDULES[name](ranks, microbatches, **options_of(name, chunks))


def options_of(name: str, chunks: int | None) -> dict[str, int]:
    """What else the builder of that name takes: interleaved its chunks, 2 unless given; others nothing."""
    if name == "interleaved":
        return {"chunks": 2 if chunks is None else chunks}
    if chunks is not None:
        held = "two stages" if name in ("zb-v", "dualpipe", "dualpipe-v") else "one stage"
        raise ValueError(f"{name} has {held} per rank: it takes no chunks")
    return {}
