"""Pipeline: tests of a hand-in that is a schedule: does it run, is it as fast, as lean, and does it train?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isclose

from ...ir import Schedule, check
from ...schedules import build
from ...simulator import Costs, simulate
from ..confine import Question
from .base import Judged, Refused, Replies, Test
from .reading import read_free, read_like

Size = tuple[int, int]
SIZES: tuple[Size, ...] = ((4, 8), (2, 2), (3, 5), (4, 2), (1, 3), (8, 20))  # ranks, micro-batches


@dataclass(frozen=True)
class Pipeline:
    """A function (ranks, micro-batches) -> one list of actions per rank, to be compared with a named schedule.

    free   whether it may lay its stages on the ranks in another way than that schedule
    """

    function: str
    like: str
    sizes: Sequence[Size] = SIZES
    file: str = "schedule.py"
    free: bool = False

    @property
    def questions(self) -> tuple[Question, ...]:
        return tuple(self.question(size) for size in self.sizes)

    def question(self, size: Size) -> Question:
        return Question(self.file, self.function, size)

    def schedule(self, replies: Replies, size: Size) -> Schedule:
        """What was handed in. Refused where it is no schedule of this pipeline."""
        key = self.function, size
        if key not in replies.known:
            try:
                answer = replies[self.question(size)]
                reference = build(self.like, *size)
                replies.known[key] = read_free(answer, *size) if self.free else read_like(answer, reference)
            except Refused as refused:
                replies.known[key] = refused
        if isinstance(found := replies.known[key], Refused):
            raise found
        return found

    def valid(self, replies: Replies, size: Size) -> Schedule:
        """The same, and it can run."""
        schedule = self.schedule(replies, size)
        if problems := check(schedule):
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise Refused(f"{problems[0]}{more}")
        return schedule

    # -- tests -----------------------------------------------------------------------------------------------------

    def runs(self, points: float, hints: tuple[str, ...] = ()) -> Test:
        """Complete, ordered, free of deadlock, at every size."""

        def judge(replies: Replies, size: Size) -> Judged:
            self.valid(replies, size)
            return Judged(1)

        return self.at_every_size("can run", points, judge, hints)

    def fast(
        self,
        points: float,
        hints: tuple[str, ...] = (),
        costs: Costs | None = None,
        what: str = "as fast as {like}",
        above: str = "naive",
    ) -> Test:
        """No slower than the named schedule. Half-way between the one that it improves on and that: half of the points.

        costs   of a rank's share of the model (default: F = I = W = 1), cut in its stages
        above   the schedule that it improves on: what is no faster has no points
        """

        def judge(replies: Replies, size: Size) -> Judged:
            timeline, best, worst = (
                simulate(each, (costs or Costs()).cut(each.num_stages // each.num_ranks))
                for each in (self.valid(replies, size), build(self.like, *size), build(above, *size))
            )
            mine, enough, slow = timeline.makespan, best.makespan, worst.makespan
            if mine <= enough or isclose(mine, enough):
                return Judged(1)
            gap = max((gap for gap in timeline.gaps() if gap.waits_for), key=lambda gap: gap.length, default=None)
            why = f"; its longest gap, from {gap.start} to {gap.end}: {gap.reason}" if gap else ""
            share = float((slow - mine) / (slow - enough)) if slow > mine else 0.0
            return Judged(share, (f"it takes {mine:g} units of time; {self.like} takes {enough:g}{why}",))

        return self.at_every_size(what.format(like=self.like), points, judge, hints)

    def lean(self, points: float, hints: tuple[str, ...] = ()) -> Test:
        """No rank keeps more activations than in the schedule that it is compared with."""

        def judge(replies: Replies, size: Size) -> Judged:
            mine, enough = (
                simulate(each).peak_activations for each in (self.valid(replies, size), build(self.like, *size))
            )
            reasons = tuple(
                f"rank {rank} holds {held} activations at once; {most} {'is' if most == 1 else 'are'} enough"
                for rank, (held, most) in enumerate(zip(mine, enough, strict=True))
                if held > most
            )
            return Judged(1 - len(reasons) / len(mine), reasons)

        return self.at_every_size(f"keeps no more than {self.like}", points, judge, hints)

    def trains(self, points: float, size: Size, hints: tuple[str, ...] = ()) -> Test:
        """On real ranks: every gradient is that of one process."""

        def judge(replies: Replies) -> Judged:
            schedule = self.valid(replies, size)
            key = "run", schedule
            if key not in replies.known:
                replies.known[key] = _trained(schedule)
            return replies.known[key]

        def at_size(replies: Replies) -> Judged:
            try:
                return judge(replies)
            except Refused as refused:
                raise Refused(f"{_said(size)}: {refused}") from None

        return Test(self._name(f"trains on {size[0]} real ranks"), points, at_size, hints, real=True)

    def _name(self, what: str) -> str:
        return f"{self.function} {what}"

    def at_every_size(
        self, what: str, points: float, judge: Callable[[Replies, Size], Judged], hints: tuple[str, ...]
    ) -> Test:
        """Each size has an equal share of the points."""

        def judge_all(replies: Replies) -> Judged:
            share, found = 0.0, list[tuple[Size, str]]()
            for size in self.sizes:
                try:
                    judged = judge(replies, size)
                except Refused as refused:
                    judged = Judged(0, (str(refused),))
                share += judged.share / len(self.sizes)
                found += [(size, reason) for reason in judged.reasons]
            if len(found) == len(self.sizes) and len({reason for _, reason in found}) == 1:
                return Judged(share, (f"at every size: {found[0][1]}",))
            return Judged(share, tuple(f"{_said(size)}: {reason}" for size, reason in found))

        return Test(self._name(what), points, judge_all, hints)


def _said(size: Size) -> str:
    ranks, microbatches = size
    return f"{ranks} rank{'s' * (ranks > 1)}, {microbatches} micro-batch{'es' * (microbatches > 1)}"


def _trained(schedule: Schedule) -> Judged:
    from ...ranks import RankError
    from ...runtime import run

    try:
        result = run(schedule, device="cpu", timeout=60)
    except (RankError, OSError) as error:
        raise Refused(f"the run failed: {error}") from None
    if result.gradients_equal and result.copies_equal is not False:
        return Judged(1, (f"gradients equal one process's; largest difference {result.max_gradient_error:.0e}",))
    return Judged(0, (f"gradients differ from one process's by {result.max_gradient_error:.1e}, in {result.worst}",))
