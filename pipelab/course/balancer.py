"""Balancer: check a student's whole balancer: are its plans valid, and better than the greedy's?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..eplb import Plan, lognormal, rebalance, zipf
from ..eplb.sizes import Sizes, as_array, as_load
from .balance import failed, whole_numbers
from .exercise import Feedback

Balancer = Callable[[np.ndarray, int, int, int, int], Any]


def plan_of(fn: Balancer, load: Any, replicas: int, gpus: int, nodes: int = 1, groups: int = 1) -> Plan:
    """What a student's balancer makes of a load, as a Plan. ValueError that says what is wrong with its answer.

    fn   (load, replicas, gpus, nodes, groups) -> [layers, replicas]: the expert in each slot, first those of GPU 0.
         load: float64 [layers, experts]. What fn itself raises is not caught

    >>> plan_of(lambda load, replicas, *sizes: [[0, 1, 1, 0]], [[6, 2]], replicas=4, gpus=2).gpu_load.tolist()
    [[4.0, 4.0]]
    """
    load = as_load(load)
    sizes = Sizes(len(load), load.shape[1], replicas, gpus, nodes, groups)
    placed = np.array(
        [
            whole_numbers(row, replicas, "a layer of your answer", "an expert for each slot", "slots")
            for row in _rows(fn(load.copy(), replicas, gpus, nodes, groups), len(load))
        ]
    ).reshape(len(load), replicas)
    for layer, row in enumerate(placed):
        if beyond := [each for each in row.tolist() if not 0 <= each < sizes.experts]:
            raise ValueError(f"layer {layer} has expert {beyond[0]}; experts are 0 to {sizes.experts - 1}")
        if lost := sorted({*range(sizes.experts)} - {*row.tolist()}):
            raise ValueError(f"layer {layer} has no copy of expert {lost[0]} ({len(lost)} such): its tokens are lost")
        if sizes.parts > 1:
            _check_groups(row, layer, sizes)
    return Plan.from_map(placed, load, gpus, nodes, groups, "yours")


def check_balancer(
    fn: Balancer,
    load: Any = None,
    replicas: int = 40,
    gpus: int = 8,
    nodes: int = 1,
    groups: int = 1,
) -> Feedback:
    """Is every plan of a student's balancer valid, and their mean balancedness above the greedy's?

    fn     as for `plan_of`
    load   [layers, experts] of these sizes; None: lognormal and zipf loads of 32 experts

    Before that load it gets small ones, without any load and with one expert that has all of it among them.

    >>> def greedy(load, replicas, gpus, nodes, groups):
    ...     return rebalance(load, replicas, gpus, nodes, groups).physical_to_logical
    >>> print(check_balancer(greedy).title)
    Valid, and as good as the greedy, but not better yet
    """
    load = default_load() if load is None else as_load(load)
    sizes = Sizes(len(load), load.shape[1], replicas, gpus, nodes, groups)
    for small, *its_sizes in balancing_cases(sizes):
        first = np.array2string(small[0], separator=", ", threshold=8) if len(small) == 1 else f"{small.shape}"
        where = f"with load [{first}], replicas {its_sizes[0]} and GPUs {its_sizes[1]}"
        try:
            plan_of(fn, small, *its_sizes)
        except ValueError as error:
            return Feedback(False, f"No valid plan yet, {where}", (str(error),))
        except Exception as error:
            return failed(error, where)
    try:
        mine = plan_of(fn, load, replicas, gpus, nodes, groups)
    except Exception as error:
        return failed(error, f"with loads of shape {load.shape}, [layers, experts]")
    greedy, refined = (rebalance(load, replicas, gpus, nodes, groups, policy) for policy in ("greedy", "refined"))
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


def default_load() -> np.ndarray:
    return np.concatenate([lognormal(4, 32, 1.0, seed=0), zipf(4, 32, 1.2, seed=1)])


def balancing_cases(sizes: Sizes) -> Iterator[tuple[np.ndarray, int, int, int, int]]:
    """Loads on which a balancer may stumble: small ones if groups play no part, then some of the given sizes."""
    if sizes.parts == 1:
        for row, replicas, gpus in (
            ([3, 1], 2, 2),
            ([3, 1], 4, 2),
            ([0, 0, 0], 4, 2),
            ([0, 7, 0], 4, 2),
            ([2, 2, 2], 6, 3),
            ([5, 1, 1, 1], 8, 4),
            ([4, 2], 2, 1),
        ):
            yield np.array([row], dtype=float), replicas, gpus, 1, 1
    rest = (sizes.replicas, sizes.gpus, sizes.nodes, sizes.groups)
    for same in (np.zeros(sizes.experts), np.eye(sizes.experts)[0], np.ones(sizes.experts)):
        yield same[None], *rest


def _check_groups(row: np.ndarray, layer: int, sizes: Sizes) -> None:
    node_of: dict[int, int] = {}
    for slot, expert in enumerate(row.tolist()):
        group, node = expert // (sizes.experts // sizes.groups), slot // (sizes.replicas // sizes.nodes)
        if node_of.setdefault(group, node) != node:
            raise ValueError(
                f"layer {layer} has group {group} on nodes {node_of[group]} and {node}; with {sizes.groups} groups on "
                f"{sizes.nodes} nodes a group stays on one"
            )


def _what_is_in_the_way(plan: Plan) -> str:
    """The busiest GPU of the layer that is farthest from what is possible."""
    layer = int((plan.attainable - plan.balancedness).argmax())
    loads, slots = plan.gpu_load[layer], plan.slot_load[layer].reshape(plan.sizes.gpus, -1)
    busiest, lightest = int(loads.argmax()), int(loads.argmin())
    expert = int(plan.physical_to_logical[layer].reshape(plan.sizes.gpus, -1)[busiest, slots[busiest].argmax()])
    copies, weight = int(plan.replica_count[layer, expert]), float(slots[busiest].max())
    return (
        f"layer {layer} is the farthest from what is possible: GPU {busiest} has {loads[busiest]:.4g}, GPU {lightest} "
        f"{loads[lightest]:.4g}, and the mean is {loads.mean():.4g}; the heaviest on GPU {busiest} is expert {expert}, "
        f"{copies} {'copy' if copies == 1 else 'copies'} of {weight:.4g}"
    )


def _rows(answer: Any, layers: int) -> list[Any]:
    if answer is None:
        raise ValueError("your function returns None; return [layers, replicas], the expert in each slot")
    rows: list[Any] = list(as_array(answer) if hasattr(answer, "shape") else answer)
    if len(rows) != layers:
        raise ValueError(f"your answer has {len(rows)} rows; one per layer is wanted, {layers}")
    return rows
