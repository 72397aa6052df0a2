"""Balancing: questions to a hand-in that is a balancer, and the Plans that its answers make."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...eplb import Plan, rebalance
from ...eplb.sizes import Sizes
from ..balancer import balancing_cases, plan_of
from ..confine import Question
from .base import Refused, Replies


class Case(NamedTuple):
    """A load, float64 [layers, experts], and where it is to go."""

    load: np.ndarray
    replicas: int
    gpus: int
    nodes: int = 1
    groups: int = 1

    def by(self, policy: str) -> Plan:
        """What a policy of pipelab makes of it."""
        return rebalance(*self, policy=policy)

    def untouched(self) -> Plan:
        """Experts in turn, whatever their loads."""
        layers, experts = self.load.shape
        return Plan.from_map(np.tile(np.arange(self.replicas) % experts, (layers, 1)), self.load, self.gpus)


def small_cases() -> list[Case]:
    """Those on which a balancer may stumble: no load at all, all of it on one expert, one copy each."""
    return [Case(*case) for case in balancing_cases(Sizes(1, 32, 40, 8))]


def question(case: Case) -> Question:
    return Question("balancer.py", "my_balancer", ({"array": case.load.tolist()}, *case[1:]))


def plan(replies: Replies, case: Case) -> Plan:
    """What was handed in. Refused, with the case, where it is no plan."""
    asked = question(case)
    key = "plan", repr(asked)
    if key not in replies.known:
        try:
            replies.known[key] = _plan(replies[asked], case)
        except ValueError as error:
            replies.known[key] = Refused(f"{case_text(case)}: {error}")
    if isinstance(found := replies.known[key], Refused):
        raise found
    return found


def case_text(case: Case) -> str:
    layers, experts = case.load.shape
    where = f"in {layers} layer{'s' * (layers > 1)}, {case.replicas} replicas on {case.gpus} GPUs"
    if case.load.size < 9:
        return f"with load [{', '.join(f'{each:g}' for each in case.load[0])}] {where}"
    heaviest = (case.load.max(axis=1) / case.load.sum(axis=1).clip(min=1e-300)).mean()
    return f"with {experts} experts, the heaviest with {heaviest:.0%} of the load, {where}"


def _plan(answer: Any, case: Case) -> Plan:
    if not isinstance(answer, list) or not all(isinstance(row, list) for row in answer):
        raise Refused("it returns no list of lists; the expert in each slot is wanted, [layers, replicas]")
    return plan_of(lambda *_: answer, *case)
