"""Pipeline: the tests of a submission that is a schedule. Can it run, is it as fast, as lean, and does it train?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ...ir import Schedule
from ...simulator import Costs
from ..checks.judge import Judged, Refused, Replies
from ..checks.schedule_check import ScheduleQuestion, Size
from .base import Test


@dataclass(frozen=True)
class Pipeline(ScheduleQuestion):
    """A schedule that is to be compared with a named one: each method makes a line of the rubric."""

    def runs(self, points: float) -> Test:
        """Complete, ordered, free of deadlock, at every size."""
        return Test(f"{self.function} can run", points, self.can_run())

    def fast(self, points: float, *, costs: Costs | None = None, where: str = "", above: str = "naive") -> Test:
        """No slower than the named schedule; else points in proportion, from the schedule `above` to that one.

        costs: as for `as_fast`, and `where` says what is special about them.
        """
        return Test(f"{self.function} as fast as {self.like}{where}", points, self.as_fast(costs, above))

    def lean(self, points: float) -> Test:
        """No rank keeps more activations than in the schedule that it is compared with."""
        return Test(f"{self.function} keeps no more than {self.like}", points, self.as_lean())

    def test(self, what: str, points: float, verdict: Callable[[Replies, Size], Judged]) -> Test:
        """A test of your own, at every size; each has an equal share of the points."""
        return Test(f"{self.function} {what}", points, self.at_every_size(verdict))

    def trains(self, points: float, size: Size) -> Test:
        """On real ranks: every gradient is that of one process."""

        def verdict(replies: Replies, size: Size) -> Judged:
            return _trained(self.valid(replies, size))

        judge = replace(self, sizes=(size,)).at_every_size(verdict)
        return Test(f"{self.function} trains on {size[0]} real ranks", points, judge, real=True)


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
