"""Bound: what no placement can go below. A plan's distance from it is the most that could still be gained."""

from __future__ import annotations

import numpy as np

from ..sizes import Sizes, scaled
from .greedy import replicate


def lower_bound(load: np.ndarray, sizes: Sizes) -> np.ndarray:
    """[layers]: the busiest GPU has at least this load, wherever the experts are placed.

    load is float64 [layers, experts]. The bound is the largest of three:

    - the mean: some GPU has at least an equal share of the whole load;
    - the replicas: however they are handed out, some expert's replicas carry this much each. No expert gains from more
      replicas than there are GPUs to hold them (all GPUs, or one node's), so further ones do not count;
    - the nodes: where groups stay on nodes, some node gets this much, and its busiest GPU at least an equal share.
    """
    if not load.size:
        return np.zeros(len(load))
    mean = load.sum(axis=1) / sizes.gpus
    bounds = [mean, _replicas_bound(load, sizes)]
    if sizes.parts > 1:
        bounds.append(nodes_bound(load, sizes) / (sizes.gpus // sizes.nodes))
    return np.max(bounds, axis=0)


def _replicas_bound(load: np.ndarray, sizes: Sizes) -> np.ndarray:
    reach = sizes.gpus // sizes.parts
    if sizes.replicas >= sizes.experts * reach:
        return load.max(axis=1) / reach
    count = replicate(scaled(load), sizes.replicas, most=reach)[2]
    return (load / count).max(axis=1)


def nodes_bound(load: np.ndarray, sizes: Sizes) -> np.ndarray:
    """[layers]: the busiest node has at least this load. Of any j·nodes + 1 groups, some node holds j + 1."""
    nodes, held = sizes.nodes, sizes.groups // sizes.nodes
    groups = -np.sort(-load.reshape(len(load), sizes.groups, -1).sum(axis=2), axis=1)
    lightest = np.cumsum(groups[:, ::-1], axis=1)  # entry i: what the i + 1 lightest weigh together
    bounds = [groups.sum(axis=1) / nodes]
    if held == 2:  # if the heaviest i + 1 are on different nodes, one of these nodes has a second group no lighter
        bounds += [groups[:, i] + groups[:, -1 - i] for i in range(nodes)]
    for j in range(held):
        together = groups[:, j * nodes - j : j * nodes + 1].sum(axis=1)
        rest = held - j - 1
        bounds.append(together + (lightest[:, rest - 1] if rest else 0))
    return np.max(bounds, axis=0)
