"""Policies: loads in, a Plan out."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..amounts import at_least
from .plan import Plan
from .sizes import Sizes, as_load
from .solver.greedy import greedy
from .solver.incremental import incremental
from .solver.packing import Layout, Packing, counts, maps
from .solver.refined import refined

POLICIES = ("greedy", "refined", "incremental")


def rebalance(
    load: Any,
    replicas: int,
    gpus: int,
    nodes: int = 1,
    groups: int = 1,
    *,
    policy: str = "greedy",
    previous: Plan | None = None,
    max_moved: float = 0.1,
) -> Plan:
    """Decide which experts get replicas, and which GPU holds which.

    The same input always gives the same plan, so ranks that have the same loads need not tell each other. See section
    3.4 of the DeepSeek-V3 report (arXiv 2412.19437), and https://github.com/deepseek-ai/EPLB.

    Parameters
    ----------
    load : array, list or torch tensor [layers, experts]
        Tokens, or any measure of work, that each expert gets.
    replicas : int
        Physical experts per layer, each expert's first replica included: a multiple of gpus.
    gpus : int
        A multiple of nodes.
    nodes, groups : int
        If groups is a multiple of nodes, groups of neighbouring experts are kept together on one node each (the
        hierarchical policy); else experts may go anywhere (the global policy).
    policy : {"greedy", "refined", "incremental"}
        "greedy" is the algorithm of deepseek-ai/EPLB; where a layer or a node has no load at all, its replicas are
        spread evenly. "refined" is better balanced and slower, and keeps two replicas of an expert off one GPU where it
        can. "incremental" changes a few slots of the previous plan.
    previous : Plan, optional
        The plan to start from, for "incremental" only.
    max_moved : float
        The share of each layer's slots that "incremental" may change, rounded down: 0.1 of 8 slots allows no change.

    Raises
    ------
    ValueError
        For sizes that do not fit together, a previous plan of other sizes, and a load that is negative, infinite or not
        a number.

    Examples
    --------
    >>> plan = rebalance([[90, 10, 20, 60]], replicas=6, gpus=2)
    >>> plan.physical_to_logical.tolist(), plan.gpu_load.tolist()
    ([[0, 3, 2, 0, 3, 1]], [[95.0, 85.0]])
    """
    load = as_load(load)
    layers, experts = load.shape
    sizes = Sizes(layers, experts, replicas, gpus, nodes, groups)
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}; got {policy!r}")
    if (policy == "incremental") != (previous is not None):
        raise ValueError(
            f"policy {policy!r} needs the previous plan"
            if previous is None
            else f"policy {policy!r} starts afresh: previous is for 'incremental'. See also Plan.moves(previous)"
        )
    if not 0 <= max_moved <= 1:
        raise ValueError(f"max_moved is a share of the slots, 0 to 1; got {max_moved}")
    if previous is not None:
        if not isinstance(previous, Plan):
            kind = type(previous).__name__
            raise ValueError(f"previous is a Plan, and Plan.from_map makes one of its slots alone; got {kind}")
        previous.check_sizes(sizes)
    rank = None
    if policy == "greedy" or not len(load):
        layout, packing, rank = greedy(load, sizes)
    elif previous is None:
        layout, packing = refined(load, sizes)
    else:
        layout, packing = _unpacked(previous, load, sizes)
        incremental(packing, sizes.parts, int(max_moved * sizes.replicas))
    return Plan(*maps(layout.join(packing.slots), sizes.experts, rank), load, sizes, policy)


def contiguous(
    load: Any, replicas: int | None = None, gpus: int | None = None, nodes: int = 1, groups: int = 1
) -> Plan:
    """The plan before any balancing: consecutive blocks of experts on the GPUs, as equal in number as possible.

    Parameters
    ----------
    load : array, list or torch tensor [layers, experts]
        As in `rebalance`, errors included.
    replicas : int, optional
        Physical experts per layer. Default: as few as there must be. More of them hold second replicas of the GPU's own
        experts, which changes no GPU's load.
    gpus : int
        At most as many as experts.
    nodes, groups : int
        As in `rebalance`.

    Examples
    --------
    >>> plan = contiguous([[90, 10, 20, 60]], replicas=6, gpus=2)
    >>> plan.physical_to_logical.tolist(), plan.gpu_load.tolist()
    ([[0, 1, 0, 2, 3, 2]], [[100.0, 80.0]])
    """
    load = as_load(load)
    layers, experts = load.shape
    if gpus is None:
        raise ValueError(f"on how many GPUs? Such as contiguous(load, gpus={4 if replicas is None else replicas})")
    if replicas is None:
        gpus = at_least(1, gpus, "gpus")
        replicas = -(-experts // gpus) * gpus
    sizes = Sizes(layers, experts, replicas, gpus, nodes, groups)
    gpus = sizes.gpus
    if experts < gpus:
        raise ValueError(f"each of {gpus} GPUs needs an expert of its own; there are {experts} experts")
    row = np.concatenate([np.resize(block, sizes.slots) for block in np.array_split(np.arange(experts), gpus)])
    return Plan.from_map(np.tile(row, (layers, 1)), load, sizes.gpus, sizes.nodes, sizes.groups, policy="contiguous")


def rebalance_experts(
    weight: Any, num_replicas: int, num_groups: int, num_nodes: int, num_gpus: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The greedy policy with the signature of deepseek-ai/EPLB, as a drop-in replacement.

    Sizes and loads that `rebalance` refuses raise a ValueError, where the published code asserts, or goes on.

    Parameters
    ----------
    weight : array, list or torch tensor [layers, experts]
        The load of each expert.
    num_replicas : int
        Physical experts per layer, a multiple of num_gpus.
    num_groups, num_nodes : int
        Ignored if num_nodes does not divide num_groups.
    num_gpus : int
        A multiple of num_nodes.

    Returns
    -------
    physical_to_logical_map : int64 array [layers, num_replicas]
    logical_to_physical_map : int64 array [layers, experts, most replicas]
    expert_count : int64 array [layers, experts]

    Examples
    --------
    >>> rebalance_experts([[90, 10, 20, 60]], 6, 1, 1, 2)[2].tolist()
    [[2, 1, 1, 2]]
    """
    load = as_load(weight)
    sizes = Sizes.published(load.shape, num_replicas, num_groups, num_nodes, num_gpus)
    layout, packing, rank = greedy(load, sizes)
    return maps(layout.join(packing.slots), sizes.experts, rank)


def _unpacked(previous: Plan, load: np.ndarray, sizes: Sizes) -> tuple[Layout, Packing]:
    """A plan's placement as rows, under other loads."""
    placed = previous.physical_to_logical
    layout = Layout(sizes, _groups_on_nodes(placed, sizes))
    slots = layout.local(placed).reshape(-1, sizes.gpus // sizes.parts, sizes.slots)
    return layout, Packing(layout.split(load), layout.split(previous.replica_count).copy(), slots.copy())


def _groups_on_nodes(placed: np.ndarray, sizes: Sizes) -> np.ndarray | None:
    """[layers, groups]: the groups of node 0, then of node 1, ...; ValueError if a group is on several."""
    if sizes.parts == 1:
        return None
    group_of = placed.reshape(-1, sizes.replicas // sizes.nodes) // (sizes.experts // sizes.groups)
    on_node = counts(group_of, sizes.groups).reshape(-1, sizes.nodes, sizes.groups) > 0
    apart = on_node.sum(axis=1) > 1
    if apart.any():
        layer, group = np.argwhere(apart)[0]
        where = ", ".join(map(str, np.flatnonzero(on_node[layer, :, group])))
        raise ValueError(
            f"the previous plan has group {group} of layer {layer} on nodes {where}; groups that stay on one node each "
            "are not its own: use its groups, or start afresh with another policy"
        )
    return np.argsort(on_node.argmax(axis=1), axis=1, kind="stable")
