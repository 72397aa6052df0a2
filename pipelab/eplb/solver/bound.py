"""Bound: no placement can do better than this. What a plan is above it is all that could still be gained."""

from __future__ import annotations

import numpy as np

from ..sizes import Sizes
from .greedy import replicate, scaled


def lower_bound(load: np.ndarray, sizes: Sizes) -> np.ndarray:
    """[layers]: the busiest GPU has at least this load, wherever the experts are placed.

    load: float64 [layers, experts]. The bound is the largest of what each of these says:

    - the mean: some GPU has at least an equal share of the whole load;
    - the copies: however they are handed out, some expert's copies carry this much each. An expert gains nothing from
      more copies than GPUs may hold it (all, or one node's), and those must not be counted twice;
    - the nodes: where groups stay on nodes, some node gets this much, and its busiest GPU an equal share of it.
    """
    if not load.size:
        return np.zeros(len(load))
    mean = load.sum(axis=1) / sizes.gpus
    bounds = [mean, _copies_bound(load, sizes)]
    if sizes.parts > 1:
        bounds.append(nodes_bound(load, sizes) / (sizes.gpus // sizes.nodes))
    return np.max(bounds, axis=0)


def _copies_bound(load: np.ndarray, sizes: Sizes) -> np.ndarray:
    reach = sizes.gpus // sizes.parts
    if sizes.replicas >= sizes.experts * reach:
        return load.max(axis=1) / reach
    count = replicate(scaled(load), sizes.replicas, most=reach)[2]
    return (load / count).max(axis=1)


def nodes_bound(load: np.ndarray, sizes: Sizes) -> np.ndarray:
    """The busiest node's load, at least. Of the j·nodes + 1 heaviest groups some node holds j + 1: so by pigeonhole."""
    nodes, held = sizes.nodes, sizes.groups // sizes.nodes
    groups = -np.sort(-load.reshape(len(load), sizes.groups, -1).sum(axis=2), axis=1)
    lightest = np.cumsum(groups[:, ::-1], axis=1)  # entry i: what the i + 1 lightest weigh together
    bounds = [groups.sum(axis=1) / nodes]
    if held == 2:  # the heaviest i + 1 each on a node of its own: one of them with a group no lighter than this
        bounds += [groups[:, i] + groups[:, -1 - i] for i in range(nodes)]
    for j in range(held):
        together = groups[:, j * nodes - j : j * nodes + 1].sum(axis=1)
        rest = held - j - 1
        bounds.append(together + (lightest[:, rest - 1] if rest else 0))
    return np.max(bounds, axis=0)
