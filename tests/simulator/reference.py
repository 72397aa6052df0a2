"""The simulation written a second time: longest paths in the graph of what comes after what."""

from __future__ import annotations

from fractions import Fraction
from graphlib import TopologicalSorter
from random import Random
from typing import Any

from hypothesis import strategies as st

from pipelab import Costs
from pipelab.ir import Action, Schedule
from tests.ir.reference import Node, computes, graph, makers, needs, parts


def of(cost: Any, stage: int) -> Any:
    return cost[stage] if isinstance(cost, list | tuple) else cost


def split(costs: Costs, kind: str, s: int) -> tuple[Any, Any]:
    f = of(costs.forward, s), of(costs.forward_comm, s)
    i = of(costs.backward_input, s), of(costs.backward_input_comm, s)
    w = of(costs.backward_weight, s), of(costs.backward_weight_comm, s)
    return {"F": f, "I": i, "W": w, "B": (i[0] + w[0], i[1] + w[1])}[kind]


def duration(costs: Costs, action: Action) -> Any:
    splits = [split(costs, part.kind, part.stage) for part in parts(action)]
    if len(splits) == 1:
        return sum(splits[0])
    if costs.overlapped is not None:
        return of(costs.overlapped, action.parts[0].stage)
    return max(splits[0][0] + splits[1][0], splits[0][1] + splits[1][1])


def journey(costs: Costs, lower_stage: int) -> Any:
    """Of a message between lower_stage and lower_stage + 1."""
    carried = of(costs.message_bytes, lower_stage) / costs.bandwidth if costs.bandwidth is not None else 0
    return costs.latency + carried


def arrivals(schedule: Schedule, costs: Costs, node: Node, end: dict[Node, Any]) -> list[tuple[Node, Any]]:
    """(who made it, when it arrived) of everything that an action got from other ranks."""
    made, found = makers(schedule), []
    for part in parts(computes(schedule)[node]):
        for kind, s, m in needs(part, schedule.num_stages):
            maker = made[kind, s, m]
            if maker[0] != node[0]:
                found.append((maker, end[maker] + journey(costs, min(s, part.stage))))
    return found


def hold(schedule: Schedule, costs: Costs, action: Action) -> Any:
    """How long a rank is held after an action by the messages that it sends."""
    longest: Any = 0
    for part in parts(action):
        other = {"F": part.stage + 1, "W": -1}.get(part.kind, part.stage - 1)
        if 0 <= other < schedule.num_stages:
            ranks = {schedule.rank_of(part.stage, part.microbatch), schedule.rank_of(other, part.microbatch)}
            if len(ranks) == 2:
                longest = max(longest, journey(costs, min(part.stage, other)))
    return longest if costs.blocking_sends else 0


def times(schedule: Schedule, costs: Costs) -> dict[Node, tuple[Any, Any]]:
    """(start, end) of every action."""
    actions, before = computes(schedule), graph(schedule)
    start: dict[Node, Any] = {}
    end: dict[Node, Any] = {}
    for node in TopologicalSorter(before).static_order():
        rank, position = node
        previous = max((i for r, i in actions if r == rank and i < position), default=None)
        free = 0 if previous is None else end[rank, previous] + hold(schedule, costs, actions[rank, previous])
        start[node] = max([free, *(when for _, when in arrivals(schedule, costs, node, end))])
        end[node] = start[node] + duration(costs, actions[node])
    return {node: (start[node], end[node]) for node in actions}


numbers = st.integers(0, 7) | st.fractions(0, 5, max_denominator=6)


@st.composite
def random_costs(draw: st.DrawFn, num_stages: int, positive: bool = False) -> Costs:
    """Costs of every sort, exact; `positive`: no computation is free."""
    # Few numbers, dealt at random: to draw every stage's would take most of a test's time.
    some = draw(st.lists(numbers, min_size=2, max_size=5))
    above_zero = [number or 1 for number in some]
    random = Random(draw(st.integers(0, 2**32 - 1)))
    communication = draw(st.sampled_from([[0], some]))
    moves = draw(st.booleans())

    def cost(choices: list[Any], count: int = num_stages) -> Any:
        return random.choice(choices) if random.random() < 0.5 else random.choices(choices, k=count)

    computation = above_zero if positive else some
    return Costs(
        forward=cost(computation),
        backward_input=cost(computation),
        backward_weight=cost(computation),
        overlapped=draw(st.sampled_from([None, cost(computation)])),
        latency=random.choice(some) if moves else 0,
        bandwidth=draw(st.sampled_from([None, Fraction(random.choice(above_zero))])) if moves else None,
        message_bytes=cost(some, num_stages - 1) if moves else 0,
        blocking_sends=draw(st.booleans()),
        free_at=draw(st.sampled_from("WI")),
        forward_comm=cost(communication),
        backward_input_comm=cost(communication),
        backward_weight_comm=cost(communication),
    )
