"""Progress: how far something long is. Whatever takes a `progress` calls it with one of these."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .errors import RankState


class Progress(NamedTuple):
    """How far something long is: a run on ranks, or the grading of many submissions.

    Parameters
    ----------
    done, total : int
        Of ranks, their actions in all steps, together; total is 0 while they have not said how many there are. Of a
        folder, its submissions.
    where : tuple of str
        What each rank is doing; of a folder, what has just been graded.

    Examples
    --------
    >>> Progress(done=3, total=12, where=("0F1", "1F0")).fraction
    0.25
    """

    done: int
    total: int
    where: tuple[str, ...]

    @classmethod
    def of(cls, states: Iterable[RankState]) -> Progress:
        """From what ranks say of themselves."""
        states = [*states]
        totals = [state.total for state in states if state.total is not None]
        total = sum(totals) if len(totals) == len(states) else 0  # of some ranks alone it would grow
        done = sum(state.done or 0 for state in states)
        return cls(min(done, total) if total else done, total, tuple(state.at or "starting" for state in states))

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0
