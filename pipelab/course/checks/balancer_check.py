"""Balancer check: are the plans of a student's balancer valid, and are they better than the greedy's?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...amounts import counted
from ...eplb import Plan, lognormal, rebalance, zipf
from ...eplb.sizes import Sizes, as_load
from ..isolation import Question
from ..isolation.runner import plain
from .feedback import Feedback
from .judge import Called, Judge, Judged, Refused, Replies
from .reading import whole_numbers

Balancer = Callable[[np.ndarray, int, int, int, int], Any]
_INVALID = "No valid plan yet"
# load, replicas, GPUs
_SMALL = (([3, 1], 2, 2), ([3, 1], 4, 2), ([0, 0, 0], 4, 2), ([0, 7, 0], 4, 2), ([2, 2, 2], 6, 3), ([5, 1, 1, 1], 8, 4),
          ([4, 2], 2, 1))  # fmt: skip


class BalancerCase(NamedTuple):
    """A load, float64 [layers, experts], and the sizes of what it is to be placed on."""

    load: np.ndarray
    replicas: int
    gpus: int
    nodes: int = 1
    groups: int = 1

    @property
    def sizes(self) -> Sizes:
        layers, experts = self.load.shape
        return Sizes(layers, experts, *self[1:])

    @property
    def question(self) -> Question:
        return Question("balancer.py", "my_balancer", ({"array": self.load.tolist()}, *self[1:]))

    def by(self, policy: str) -> Plan:
        """The plan of one of pipelab's policies."""
        return rebalance(*self, policy=policy)

    def untouched(self) -> Plan:
        """Experts in turn, whatever their loads."""
        layers, experts = self.load.shape
        return Plan.from_map(np.tile(np.arange(self.replicas) % experts, (layers, 1)), self.load, self.gpus)

    def in_words(self) -> tuple[str, ...]:
        layers, experts = self.load.shape
        where = f"in {counted(layers, 'layer')}, {self.replicas} replicas on {counted(self.gpus, 'GPU')}"
        if self.load.size < 9:
            return (f"load {np.array2string(self.load, separator=', ')} {where}",)
        heaviest = (self.load.max(axis=1) / self.load.sum(axis=1).clip(min=1e-300)).mean()
        return (f"{experts} experts, the heaviest with {heaviest:.0%} of the load, {where}",)


def plan_of(fn: Balancer, load: Any, replicas: int, gpus: int, nodes: int = 1, groups: int = 1) -> Plan:
    """Turn what a student's balancer makes of a load into a Plan.

    Parameters
    ----------
    fn : function (load, replicas, gpus, nodes, groups) -> [layers, replicas]
        The expert in each slot, first the slots of GPU 0. load: float64 [layers, experts].
    load : array_like [layers, experts]
        The load of each expert.
    replicas, gpus, nodes, groups : int
        As for :func:`pipelab.rebalance`.

    Raises
    ------
    ValueError
        For an answer that is no plan; it says why. What fn itself raises is not caught.

    Examples
    --------
    >>> plan_of(lambda load, replicas, *sizes: [[0, 1, 1, 0]], [[6, 2]], replicas=4, gpus=2).gpu_load.tolist()
    [[4.0, 4.0]]
    """
    case = _case(as_load(load), replicas, gpus, nodes, groups)
    return _plan(plain(fn(case.load.copy(), *case[1:])), case)


def check_balancer(
    fn: Balancer, load: Any = None, replicas: int = 40, gpus: int = 8, nodes: int = 1, groups: int = 1
) -> Feedback:
    """Check that every plan of a student's balancer is valid, and that they are better than the greedy's on average.

    Parameters
    ----------
    fn : function (load, replicas, gpus, nodes, groups) -> [layers, replicas]
        As for `plan_of`. It is tried on small loads first, such as none at all, or all of it on one expert.
    load : array_like [layers, experts], optional
        Where the plans are compared with the greedy's. Default: lognormal and zipf loads of 32 experts.
    replicas, gpus, nodes, groups : int
        The sizes that go with this load.

    Examples
    --------
    >>> def greedy(load, replicas, gpus, nodes, groups):
    ...     return rebalance(load, replicas, gpus, nodes, groups).physical_to_logical
    >>> check_balancer(greedy).title
    'Valid, and as good as the greedy, but not better yet'
    """
    if load is None:
        load = np.concatenate([lognormal(4, 32, sigma=1.0, seed=0), zipf(4, 32, exponent=1.2, seed=1)])
    load = as_load(load)
    case = _case(load, replicas, gpus, nodes, groups)
    replies = Called({case.question.function: fn})
    if not (valid := valid_plans([*stumbling_cases(case), case]).feedback(replies, Feedback(True, "Valid"))):
        return valid
    mine, greedy, refined = plan(replies, case), case.by("greedy"), case.by("refined")
    reached, wanted = float(mine.balancedness.mean()), float(greedy.balancedness.mean())
    figures = (
        f"mean balancedness over {len(load)} layers: yours {reached:.4f}, greedy {wanted:.4f}, "
        f"refined {refined.balancedness.mean():.4f}; no plan exceeds {mine.attainable.mean():.4f}"
    )
    if reached > wanted + 1e-9:
        return Feedback(True, "Right: better than the greedy", (figures,))
    same = reached > wanted - 1e-9
    title = "Valid, and as good as the greedy, but not better yet" if same else "Valid, but the greedy is better"
    return Feedback(False, title, (figures, _what_is_in_the_way(mine)))


def _case(load: np.ndarray, *sizes: int) -> BalancerCase:
    """With sizes that are whole numbers, as a student's function takes them; ValueError where they do not fit."""
    fit = BalancerCase(load, *sizes).sizes
    return BalancerCase(load, fit.replicas, fit.gpus, fit.nodes, fit.groups)


def stumbling_cases(like: BalancerCase) -> list[BalancerCase]:
    """Loads on which a balancer may stumble: small ones if groups play no part, then some of the same sizes."""
    experts = like.load.shape[1]
    small = [BalancerCase(np.array([row], dtype=float), replicas, gpus) for row, replicas, gpus in _SMALL]
    same = [like._replace(load=row[None]) for row in (np.zeros(experts), np.eye(experts)[0], np.ones(experts))]
    return same if like.sizes.parts > 1 else small + same


def valid_plans(cases: Sequence[BalancerCase]) -> Judge[BalancerCase]:
    """Every expert of every layer has a slot, and groups stay on their nodes."""

    def verdict(replies: Replies, case: BalancerCase) -> Judged:
        plan(replies, case)
        return Judged(1)

    return Judge(cases, verdict, BalancerCase.in_words)


def balanced_plans(cases: Sequence[BalancerCase]) -> Judge[BalancerCase]:
    """No points for a plan that ignores the loads, all of them for one as good as the greedy's."""

    def verdict(replies: Replies, case: BalancerCase) -> Judged:
        plans = plan(replies, case), case.by("greedy"), case.untouched()
        reached, wanted, without = (float(each.balancedness.mean()) for each in plans)
        if reached >= wanted - 1e-9:
            return Judged(1)
        said = f"balancedness {reached:.3f}; replicate, then pack reaches {wanted:.3f}"
        return Judged((reached - without) / (wanted - without), (said,))

    return Judge(cases, verdict, BalancerCase.in_words, "Valid, but the greedy is better")


def plan(replies: Replies, case: BalancerCase) -> Plan:
    """The answer. Refused where it is no plan."""
    return _plan(replies[case.question], case)


def _plan(answer: Any, case: BalancerCase) -> Plan:
    sizes = case.sizes
    try:
        if not isinstance(answer, list):
            raise Refused(f"your function returns {answer!r:.40}; return [layers, replicas], the expert in each slot")
        if len(answer) != sizes.layers:
            raise Refused(f"your answer has {len(answer)} rows; one per layer is wanted, {sizes.layers}")
        words = "a layer of your answer", "an expert for each slot", "slots"
        placed = [whole_numbers(row, sizes.replicas, *words) for row in answer]
        for layer, row in enumerate(placed):
            _check_layer(row, layer, sizes)
    except Refused as refused:
        raise Refused(*refused.reasons, title=_INVALID) from None
    slots = np.array(placed, dtype=int).reshape(-1, sizes.replicas)
    return Plan.from_map(slots, case.load, case.gpus, case.nodes, case.groups, policy="yours")


def _check_layer(row: list[int], layer: int, sizes: Sizes) -> None:
    if beyond := [each for each in row if not 0 <= each < sizes.experts]:
        raise Refused(f"layer {layer} has expert {beyond[0]}; experts are 0 to {sizes.experts - 1}")
    if lost := sorted({*range(sizes.experts)} - {*row}):
        raise Refused(f"layer {layer} has no replica of expert {lost[0]} ({len(lost)} such): its tokens are lost")
    node_of: dict[int, int] = {}
    for slot, expert in enumerate(row if sizes.parts > 1 else ()):
        group, node = expert // (sizes.experts // sizes.groups), slot // (sizes.replicas // sizes.nodes)
        if node_of.setdefault(group, node) != node:
            raise Refused(
                f"layer {layer} has group {group} on nodes {node_of[group]} and {node}; with {sizes.groups} groups on "
                f"{sizes.nodes} nodes a group stays on one"
            )


def _what_is_in_the_way(plan: Plan) -> str:
    """The busiest GPU of the layer that is farthest from what is possible."""
    layer = int((plan.attainable - plan.balancedness).argmax())
    loads, slots = plan.gpu_load[layer], plan.slot_load[layer].reshape(plan.sizes.gpus, -1)
    busiest, lightest = int(loads.argmax()), int(loads.argmin())
    expert = int(plan.physical_to_logical[layer].reshape(plan.sizes.gpus, -1)[busiest, slots[busiest].argmax()])
    replicas, weight = int(plan.replica_count[layer, expert]), float(slots[busiest].max())
    return (
        f"layer {layer} is the farthest from what is possible: GPU {busiest} has {loads[busiest]:.4g}, GPU {lightest} "
        f"{loads[lightest]:.4g}, and the mean is {loads.mean():.4g}; the heaviest on GPU {busiest} is expert {expert}, "
        f"{counted(replicas, 'replica')} of {weight:.4g}"
    )
