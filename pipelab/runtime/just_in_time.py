"""Just in time: a rank's program with its messages where a runtime that sends asynchronously wants them."""

from __future__ import annotations

from ..ir import Action
from ..ir.action import RECV_B, RECV_F
from ..ir.schedule import Program


def just_in_time(program: Program) -> Program:
    """A lowered program with every receive directly before the action that needs it, every send after what makes it.

    `lower` gives messages the places in which they may hold both ranks until they are over. Here they hold nobody:
    receives are posted ahead, sends wait for none. A rank that stood at a receive earlier than it must would keep what
    it has computed, and could send, from the others.
    """
    ordered: list[Action] = []
    early: set[Action] = set()
    for action in program:
        if action.kind in (RECV_F, RECV_B):
            early.add(action)
            continue
        for kind, stage, m, _ in action.computes:
            needed = Action(RECV_F if kind == "F" else RECV_B, stage, m)
            if needed in early:
                early.remove(needed)
                ordered.append(needed)
        ordered.append(action)
    return tuple(ordered)
