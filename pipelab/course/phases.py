"""Phases: check a student's order of a MoE layer's phases, and explain."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..simulator import Costs
from ..simulator.segment_order import COMPUTE, NEEDS, all_orders, exposed, order_problems, place_segments
from .exercise import Feedback


def check_order(order: Sequence[str], costs: Costs, layers: int = 4) -> Feedback:
    """Can a layer's phases be started in this order, and does any other order take less time?

    order   phases such as "attention(F)", as in :data:`pipelab.simulator.segment_order.NEEDS`
    costs   of a stage of so many layers
    """
    order = list(order)
    if problems := order_problems(order):
        return Feedback(False, "No possible order yet", tuple(problems))
    placed = place_segments(order, costs, layers)
    takes = max(phase.end for phase in placed)
    best = min(max(phase.end for phase in place_segments(each, costs, layers)) for each in all_orders())
    figures = f"{float(exposed(placed)):g} of its communication is exposed"
    if takes <= best or math.isclose(takes, best):  # floats round
        return Feedback(True, f"Right: no other order takes less than {float(takes):g}", (figures,))
    reasons = [f"it takes {float(takes):g}; the best order takes {float(best):g}", figures]
    computed = [phase for phase in placed if phase.stream == COMPUTE]
    waits = [(after.start - before.end, after) for before, after in zip(computed, computed[1:], strict=False)]
    wait, late = max(waits, key=lambda pair: pair[0])
    if wait > 0:
        name = f"{late.name}({late.direction})"
        needed = NEEDS[name] or ("what the layer before it sends",)
        reasons.append(
            f"the longest wait of the compute stream, {float(wait):g}, is before {name}: {needed[0]} has not come yet. "
            "What could be computed meanwhile?"
        )
    return Feedback(False, "Possible, but another order hides more", tuple(reasons))
