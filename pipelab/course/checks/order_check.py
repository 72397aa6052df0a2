"""Order check: can a pair's segments be done in this order, does it hide as much as any, and do real ranks do it?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from math import isclose
from typing import Any

from ...amounts import counted
from ...ir import ORDERS, Segment, SegmentOrder, all_orders, order_problems
from ...simulator import Costs, place_segments
from ...simulator.pair_timing import Order, PlacedSegments, exposed
from ...timeline import COMPUTE
from ..isolation import Question
from .feedback import Feedback
from .judge import Called, Judge, Judged, Refused, Replies

QUESTION = Question("order.py", "my_order")


def check_order(order: Order, costs: Costs, *, layers: int = 4) -> Feedback:
    """Check a student's order of a MoE layer's segments: is it possible, and does no other take less time?

    Parameters
    ----------
    order : SegmentOrder, str, or sequence of str
        Such as "deepseek", or a list of segments such as "attention(F)".
    costs : Costs
        Of a whole stage.
    layers : int
        In that stage.

    Examples
    --------
    >>> costs = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12)
    >>> check_order(["attention(F)", "dispatch(F)"], costs).reasons[0]
    'experts(F) is missing'
    """
    given: Any = ORDERS.get(order, order) if isinstance(order, str) else order
    if isinstance(given, SegmentOrder):
        given = given.segments
    if isinstance(given, list | tuple):
        given = [str(each) if isinstance(each, Segment) else each for each in given]
    right = Feedback(True, "Right: no other order takes less")
    return POSSIBLE.feedback(Called({QUESTION.function: lambda: given}), right, Machine(costs, layers).hides())


def read_order(replies: Replies) -> list[str]:
    """The answer. Refused where it is no list of segments."""
    answer = replies[QUESTION]
    if not isinstance(answer, list) or not all(isinstance(segment, str) for segment in answer):
        raise Refused("it returns no list of segments, such as 'attention(F)'")
    if len(answer) > 100:
        raise Refused(f"it returns {len(answer)} segments; a layer has {len(ORDERS['deepseek'].segments)}")
    return answer


def _possible(replies: Replies, _: None) -> Judged:
    problems = order_problems(read_order(replies))
    return Judged(not problems, tuple(map(str, problems)))


def _end(placed: PlacedSegments) -> float:
    return float(max(segment.end for segment in placed))


POSSIBLE: Judge[None] = Judge([None], _possible, wrong="No possible order yet")


@dataclass(frozen=True)
class Machine:
    """The costs of a stage and its number of layers: they decide how long an order takes."""

    costs: Costs
    layers: int = 4

    @cached_property
    def best(self) -> float:
        """How long the best of all orders takes."""
        return min(map(self.takes, all_orders()))

    def takes(self, order: Sequence[str | Segment]) -> float:
        return _end(place_segments(order, self.costs, layers=self.layers))

    def hides(self) -> Judge[None]:
        """All points for the best order, none for one that hides nothing."""
        return Judge([None], self._judged, wrong="Possible, but another order hides more")

    def _order(self, replies: Replies, done: str) -> list[str]:
        """The answer, where this stage can do it."""
        order, title = read_order(replies), f"Not {done} yet"
        if order_problems(order):
            raise Refused(f"only an order that is possible can be {done}", title=title)
        listed = SegmentOrder.of(order).layers
        if listed not in (None, self.layers):
            numbers = f"it numbers {counted(listed, 'layer')}, but this stage has {self.layers}"
            raise Refused(f"{numbers}: without numbers, an order is that of each layer", title=title)
        return order

    def _judged(self, replies: Replies, _: None) -> Judged:
        order = self._order(replies, "timed")
        placed = place_segments(order, self.costs, layers=self.layers)
        takes = _end(placed)
        figures = f"{float(exposed(placed)):g} of its communication is exposed"
        if takes <= self.best or isclose(takes, self.best):  # floats round
            return Judged(1, (f"it takes {takes:g}; {figures}",))
        reasons = [f"it takes {takes:g}; the best order takes {self.best:g}", figures]
        computed = [segment for segment in placed if segment.stream == COMPUTE]
        waits = [(after.start - before.end, after) for before, after in pairwise(computed)]
        wait, late = max(waits, key=lambda pair: pair[0])
        if wait > 0:
            name, given = Segment(late.name, late.direction), SegmentOrder.of(order)
            needed = "what it needs" if given.layers else given.needs.get(name, "what the layer before it sends")
            reasons.append(
                f"the longest wait of the compute stream, {float(wait):g}, is before {name}: {needed} has not come "
                "yet. What could be computed meanwhile?"
            )
        serial = float(self.costs.duration("F", 0) + self.costs.duration("B", 0))
        return Judged((serial - takes) / (serial - self.best), tuple(reasons))

    def runs(self, ranks: int = 2) -> Judge[None]:
        """All points for an order that real ranks have done, with the gradients of a pair that waits for everything."""
        return Judge([None], partial(self._ran, ranks=ranks), wrong="Possible, but real ranks did something else")

    def _ran(self, replies: Replies, _: None, ranks: int) -> Judged:
        from ...moe import hide
        from ...ranks import RankError

        order = self._order(replies, "run")
        try:
            found = hide(order, pace=self.costs, ranks=ranks, layers=self.layers, repeats=2)
        except (RankError, OSError) as error:
            raise Refused(f"the run failed: {error}") from None
        assert found.simulated is not None
        times = f"measured {found.overlapped:.0f} ms, simulated {float(found.simulated.overlapped):.0f} ms"
        if found.gradients_equal and found.in_order:
            return Judged(1, (f"{times}; {found.hidden_share:.0%} hidden; gradients equal those of a blocking pair",))
        wrong = ["gradients differ from those of a blocking pair"] * (not found.gradients_equal)
        return Judged(0, (*wrong, *["the ranks did not keep to the order"] * (not found.in_order)))
