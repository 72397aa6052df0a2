"""Order the overlap: in which order to start a layer's phases, so that communication hides behind computation."""

from __future__ import annotations

from functools import lru_cache
from math import isclose
from typing import Any

from ...simulator import Costs
from ...simulator.segment_order import all_orders, order_problems, place_segments
from ..confine import Question
from ..phases import check_order
from .base import Assignment, Judged, Refused, Replies, Test

_ASKED = Question("order.py", "my_order")
_LAYERS = 4
_EVEN = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12)  # as much communication as computation
_SLOW = Costs(8, 8, 8, forward_comm=20, backward_input_comm=20)  # more of it


def _order(replies: Replies) -> list[str]:
    answer = replies[_ASKED]
    if not isinstance(answer, list) or not all(isinstance(phase, str) for phase in answer):
        raise Refused("it returns no list of phases, such as 'attention(F)'")
    if len(answer) > 100:
        raise Refused(f"it returns {len(answer)} phases; a layer has 10")
    return answer


def _possible(replies: Replies) -> Judged:
    problems = order_problems(_order(replies))
    return Judged(not problems, tuple(problems))


@lru_cache(maxsize=8)
def _extremes(costs: Costs) -> tuple[Any, Any]:
    """What the best order takes, and one that hides nothing."""
    best = min(max(phase.end for phase in place_segments(each, costs, _LAYERS)) for each in all_orders())
    return best, costs.duration("F", 0) + costs.duration("B", 0)


def _hides(name: str, points: float, costs: Costs, hints: tuple[str, ...]) -> Test:
    def judge(replies: Replies) -> Judged:
        order = _order(replies)
        if order_problems(order):
            raise Refused("only an order that is possible can be timed")
        best, serial = _extremes(costs)
        takes = max(phase.end for phase in place_segments(order, costs, _LAYERS))
        if takes <= best or isclose(takes, best):
            return Judged(1)
        return Judged(float((serial - takes) / (serial - best)), check_order(order, costs, _LAYERS).reasons)

    return Test(name, points, judge, hints)


ASSIGNMENT = Assignment(
    name="overlap-order",
    title="Order the overlap",
    version=1,
    files={"order.py": ("my_order()",)},
    questions=(_ASKED,),
    tests=(
        Test(
            "is possible",
            3,
            _possible,
            (
                "each phase once; of each direction, a phase comes after the one whose result it needs",
                "forward: attention, dispatch, experts, combine; backward: combine, experts, dispatch, attention",
            ),
        ),
        _hides(
            "hides as much as can be, with as much communication as computation",
            3,
            _EVEN,
            (
                "let each exchange set out as early as it can, and compute for the other direction meanwhile",
                "weight gradients wait best: do them while an exchange of their own direction is under way",
            ),
        ),
        _hides(
            "hides as much as can be, with more communication",
            2,
            _SLOW,
            ("now the communication stream must never wait: what can be sent first of all?",),
        ),
        _hides(
            "hides as much as can be, with DeepSeek's figures",
            2,
            Costs.deepseek_v3(),
            ("the order in DeepSeek's published profile is one of the answers",),
        ),
    ),
)
