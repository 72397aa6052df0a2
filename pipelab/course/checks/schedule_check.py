"""Schedule check: can a student's schedule run, is it as fast as a named one, and does it keep as little?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose
from operator import le

from ...amounts import at_least, counted
from ...ir import Schedule, check
from ...schedules import build
from ...simulator import Costs, simulate
from ...timeline import Timeline
from ..isolation import Question
from .feedback import Feedback
from .judge import Called, Judge, Judged, Refused, Replies
from .reading import Builder, read_free, read_like

Size = tuple[int, int]
SIZES: tuple[Size, ...] = ((4, 8), (2, 2), (3, 5), (4, 2), (1, 3), (8, 20))  # ranks, micro-batches: M above and below P


def check_schedule(
    builder: Builder, *, like: str, memory: bool = False, sizes: Sequence[Size] = SIZES, costs: Costs | None = None
) -> Feedback:
    """Check a student's schedule at several sizes: can it run, and is it as fast as a named one?

    Parameters
    ----------
    builder : function (ranks, microbatches) -> one list of actions per rank, or a Schedule
        The actions are text, such as ``["0F0", "0B0"]``.
    like : str
        Name of the schedule to compare with, whose stages lie on the same ranks.
    memory : bool
        Also require that no rank holds more activations than in that schedule.
    sizes : sequence of (ranks, microbatches)
        By default those at which assignments are graded.
    costs : Costs, optional
        Of a rank's share of the model, which is cut in its stages. Default: F = I = W = 1.

    Returns
    -------
    Feedback
        The first size at which something is wrong, and what.

    Examples
    --------
    >>> check_schedule(lambda ranks, microbatches: [["0F0", "0B0"]], like="gpipe", sizes=[(1, 1)])
    ✓ Right: as good as gpipe
      - checked at ranks × micro-batches = 1×1
    """
    sizes = [(at_least(1, ranks, "ranks"), at_least(1, microbatches, "microbatches")) for ranks, microbatches in sizes]
    asked = ScheduleQuestion("builder", like, sizes)
    wanted = [asked.as_fast(costs), *([asked.as_lean(costs)] if memory else [])]
    tried = ", ".join(f"{ranks}×{microbatches}" for ranks, microbatches in sizes)
    right = Feedback(True, f"Right: as good as {like}", (f"checked at ranks × micro-batches = {tried}",))
    return asked.can_run().feedback(Called({asked.function: builder}), right, *wanted)


@dataclass(frozen=True)
class ScheduleQuestion:
    """A function (ranks, microbatches) -> one list of actions per rank, to be compared with the schedule named `like`.

    free: whether it may lay its stages on the ranks in another way than that schedule.
    """

    function: str
    like: str
    sizes: Sequence[Size] = SIZES
    file: str = "schedule.py"
    free: bool = False

    @property
    def questions(self) -> tuple[Question, ...]:
        return tuple(map(self.question, self.sizes))

    def question(self, size: Size) -> Question:
        return Question(self.file, self.function, size)

    def schedule(self, replies: Replies, size: Size) -> Schedule:
        """The answer. Refused where it is no schedule of this pipeline."""
        answer = replies[self.question(size)]
        return read_free(answer, *size) if self.free else read_like(answer, build(self.like, *size))

    def valid(self, replies: Replies, size: Size) -> Schedule:
        """The answer. Refused where it is no schedule, or one that can't run."""
        schedule = self.schedule(replies, size)
        if problems := check(schedule):
            raise Refused(*map(str, problems), title="Not a valid schedule yet")
        return schedule

    def at_every_size(self, verdict: Callable[[Replies, Size], Judged], wrong: str = "Not right yet") -> Judge[Size]:
        """A further question about the same schedules."""
        return Judge(self.sizes, verdict, _in_words, wrong)

    def can_run(self) -> Judge[Size]:
        """Complete, ordered, free of deadlock."""

        def verdict(replies: Replies, size: Size) -> Judged:
            self.valid(replies, size)
            return Judged(1)

        return self.at_every_size(verdict)

    def as_fast(self, costs: Costs | None = None, above: str = "naive") -> Judge[Size]:
        """No slower than the named schedule. Half-way between the one that it improves on and that: half of the points.

        costs   of a rank's share of the model (default: F = I = W = 1), cut in its stages
        above   the schedule that it improves on: what is no faster has no points
        """

        def verdict(replies: Replies, size: Size) -> Judged:
            timeline, *named = self._simulated(replies, size, costs, self.like, above)
            mine, enough, slow = (float(each.makespan) for each in (timeline, *named))
            if mine <= enough or isclose(mine, enough):  # floats round
                return Judged(1)
            gap = max((gap for gap in timeline.gaps() if gap.waits_for), key=lambda gap: gap.length, default=None)
            why = [f"its longest gap, from {gap.start} to {gap.end}: {gap.reason}"] if gap else []
            share = (slow - mine) / (slow - enough) if slow > mine else 0.0
            return Judged(share, (f"it takes {mine:g} units of time; {self.like} takes {enough:g}", *why))

        return self.at_every_size(verdict, self._worse)

    def as_lean(self, costs: Costs | None = None) -> Judge[Size]:
        """No rank keeps more activations than in the named schedule."""

        def verdict(replies: Replies, size: Size) -> Judged:
            mine, enough = (each.peak_activations for each in self._simulated(replies, size, costs, self.like))
            return by_rank(mine, enough, le, "activation", "holds {has} at once; {wanted} {are} enough")

        return self.at_every_size(verdict, self._worse)

    def _simulated(self, replies: Replies, size: Size, costs: Costs | None, *names: str) -> list[Timeline]:
        """The answer, and then the schedules of these names; their stages share out a rank's costs."""
        schedules = self.valid(replies, size), *(build(name, *size) for name in names)
        return [simulate(each, (costs or Costs()).cut(each.num_stages // each.num_ranks)) for each in schedules]

    @property
    def _worse(self) -> str:
        return f"Valid, but not {self.like} yet"


def by_rank(
    mine: Sequence[int], theirs: Sequence[int], fine: Callable[[int, int], bool], unit: str, words: str
) -> Judged:
    """An equal share of the points for each rank whose number is fine beside the wanted one. words: of a rank's not."""
    reasons = tuple(
        f"rank {rank} " + words.format(has=counted(has, unit), wanted=wanted, are="is" if wanted == 1 else "are")
        for rank, (has, wanted) in enumerate(zip(mine, theirs, strict=True))
        if not fine(has, wanted)
    )
    return Judged(1 - len(reasons) / len(mine), reasons)


def _in_words(size: Size) -> tuple[str, ...]:
    return counted(size[0], "rank"), counted(size[1], "micro-batch")
