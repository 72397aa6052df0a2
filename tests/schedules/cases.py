"""Every named schedule, in sizes that it is made for: for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from pipelab import Schedule, build
from pipelab.schedules import SCHEDULES

Case = tuple[str, int, int, int | None]  # name, ranks, micro-batches, chunks

#: One stage per rank, whole backwards.
SIMPLE = ("naive", "gpipe", "1f1b")


@st.composite
def cases(draw: st.DrawFn, *names: str, max_ranks: int = 7, max_microbatches: int = 14) -> Case:
    """Arguments of build, with M below, at and above P where the schedule allows it. Names: all unless given."""
    name = draw(st.sampled_from(names or tuple(SCHEDULES)))
    ranks = draw(st.integers(1, max_ranks))
    if name == "dualpipe":
        ranks = 2 * max(1, ranks // 2)
        return name, ranks, 2 * draw(st.integers(ranks, max(ranks, max_microbatches // 2))), None
    if name == "dualpipe-v":
        return name, ranks, draw(st.integers(2 * ranks, max(2 * ranks, max_microbatches))), None
    chunks = draw(st.integers(1, 4)) if name == "interleaved" else None
    return name, ranks, draw(st.integers(1, max_microbatches)), chunks


def built(case: Case) -> Schedule:
    name, ranks, microbatches, chunks = case
    return build(name, ranks, microbatches, chunks=chunks)


def schedules(*names: str, **limits: int) -> st.SearchStrategy[Schedule]:
    return cases(*names, **limits).map(built)
