"""Schedule: what a student's function makes of a cluster's sizes, as a Schedule, so that all of pipelab takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..ir import Schedule
from .assignments.reading import read_free
from .exercise import Builder


def schedule_of(fn: Builder, ranks: int, microbatches: int, name: str = "yours") -> Schedule:
    """What a student's function returns for these sizes, as a Schedule. ValueError that says what is wrong with it.

    fn   (ranks, micro-batches) -> one list of actions per rank, such as ``["0F0", "0B0"]``, or a Schedule. Its actions
         tell which rank holds which stage. What fn itself raises is not caught

    It may be one that can't run yet: :func:`pipelab.check` says that.

    >>> schedule_of(lambda ranks, microbatches: [["0F0", "0B0"], ["1F0", "1B0"]], 2, 1).placement.kind
    'linear'
    """
    answer = fn(ranks, microbatches)
    programs = answer.programs if isinstance(answer, Schedule) else answer
    if not _lists(programs) or not all(map(_lists, programs)):
        raise ValueError(f"your function returns {programs!r:.40}; one list of actions per rank is wanted")
    texts = [[str(action) for action in program] for program in programs]
    return replace(read_free(texts, ranks, microbatches), name=name)


def _lists(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
