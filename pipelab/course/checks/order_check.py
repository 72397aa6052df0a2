"""Order check: can a layer's segments be started in this order, and does it hide as much communication as any?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import isclose

from ...simulator import Costs
from ...simulator.segment_order import COMPUTE, NEEDS, all_orders, exposed, order_problems, place_segments
from ..isolation import Question
from .feedback import Feedback
from .judge import Called, Judge, Judged, Refused, Replies

QUESTION = Question("order.py", "my_order")


def check_order(order: Sequence[str], costs: Costs, layers: int = 4) -> Feedback:
    """Check a student's order of a MoE layer's segments: is it possible, and does no other take less time?

    Parameters
    ----------
    order : sequence of str
        Segments such as "attention(F)": those of :data:`pipelab.simulator.segment_order.NEEDS`, each once.
    costs : Costs
        Of a whole stage.
    layers : int
        In that stage.

    Examples
    --------
    >>> costs = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12)
    >>> check_order(["combine(F)", *(each for each in NEEDS if each != "combine(F)")], costs)
    ✗ No possible order yet
      - combine(F) comes before experts(F), which it needs
    """
    right = Feedback(True, "Right: no other order takes less")
    return POSSIBLE.feedback(Called({QUESTION.function: lambda: order}), right, Machine(costs, layers).hides())


def read_order(replies: Replies) -> list[str]:
    """The answer. Refused where it is no list of segments."""
    answer = replies[QUESTION]
    if not isinstance(answer, list) or not all(isinstance(segment, str) for segment in answer):
        raise Refused("it returns no list of segments, such as 'attention(F)'")
    if len(answer) > 100:
        raise Refused(f"it returns {len(answer)} segments; a layer has {len(NEEDS)}")
    return answer


def _possible(replies: Replies, _: None) -> Judged:
    problems = order_problems(read_order(replies))
    return Judged(not problems, tuple(problems))


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

    def takes(self, order: Sequence[str]) -> float:
        return float(max(segment.end for segment in place_segments(order, self.costs, self.layers)))

    def hides(self) -> Judge[None]:
        """All points for the best order, none for one that hides nothing."""
        return Judge([None], self._judged, wrong="Possible, but another order hides more")

    def _judged(self, replies: Replies, _: None) -> Judged:
        order = read_order(replies)
        if order_problems(order):
            raise Refused("only an order that is possible can be timed", title="Not timed yet")
        placed, takes = place_segments(order, self.costs, self.layers), self.takes(order)
        figures = f"{float(exposed(placed)):g} of its communication is exposed"
        if takes <= self.best or isclose(takes, self.best):  # floats round
            return Judged(1, (f"it takes {takes:g}; {figures}",))
        reasons = [f"it takes {takes:g}; the best order takes {self.best:g}", figures]
        computed = [segment for segment in placed if segment.stream == COMPUTE]
        waits = [(after.start - before.end, after) for before, after in pairwise(computed)]
        wait, late = max(waits, key=lambda pair: pair[0])
        if wait > 0:
            name = f"{late.name}({late.direction})"
            needed = NEEDS[name] or ("what the layer before it sends",)
            reasons.append(
                f"the longest wait of the compute stream, {float(wait):g}, is before {name}: {needed[0]} has not come "
                "yet. What could be computed meanwhile?"
            )
        serial = float(self.costs.duration("F", 0) + self.costs.duration("B", 0))
        return Judged((serial - takes) / (serial - self.best), tuple(reasons))
