"""The graph of a stage's backward: which nodes lead to its input, and where branches to its parameters leave.

The words are those of :mod:`pipelab.autograd.split_backward`. Nodes are numbers here, without their tensors; so one
look serves all micro-batches of a stage, whose graphs are alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from graphlib import TopologicalSorter
from typing import NamedTuple

import torch
from torch.autograd.function import BackwardCFunction
from torch.autograd.graph import Node

CUSTOM = "a custom autograd.Function computes all its gradients at once"
KERNEL = "one kernel computes it together with the input's gradient"
SHARED = "several operations of the stage use it directly"
HOOKED = "its layer's activations are recomputed or fetched in backward (checkpointing, offloading)"
REENTRANT = "reentrant checkpointing knows whole backwards only"

_LEAF = torch._C._functions.AccumulateGrad  # type: ignore[attr-defined]
_ONE_KERNEL = {"PreluKernelBackward0", "MkldnnRnnLayerBackward0", "ThnnFusedLstmCellBackward0"}
_PRODUCTS = {"AddmmBackward0", "MmBackward0"}  # bias + X · W, and X · W, which is what a linear layer comes down to
_NORM = "NativeLayerNormBackward0"


class Shape(NamedTuple):
    """A graph without its tensors. Nodes are numbered as they are reached from the root, which is 0.

    kinds   the type of each node
    edges   of each node: where its gradients go, and as which output of that node; (-1, 0) for nowhere
    """

    kinds: tuple[type, ...]
    edges: tuple[tuple[tuple[int, int], ...], ...]


class Linear(NamedTuple):
    """A junction that is a matrix product X · W (+ bias), whose W and bias are parameters."""

    node: int
    weight: int  # leaves
    bias: int | None
    transposed: bool  # the parameter is Wᵀ, as nn.Linear keeps it


class Norm(NamedTuple):
    """A junction that is a layer norm, whose weight and bias, where it has them, are parameters."""

    node: int
    weight: int | None  # leaves
    bias: int | None


class Junction(NamedTuple):
    """Any other junction.

    own      leaves of its branches, where no other junction leads to them
    shared   the first edges of its other branches
    """

    node: int
    own: tuple[int, ...]
    shared: tuple[tuple[int, int], ...]


class StageGraph(NamedTuple):
    """What backward is to be asked for at I, and what is left for W.

    ends        where I goes to
    early       leaves whose gradient can't wait -> the reason
    junctions   from the input's side to the output's
    whole       True: I must do everything, as one plain backward
    once        True: I goes through each node once and for all; no junction on the path runs again at W
    """

    ends: tuple[int, ...]
    early: dict[int, str]
    junctions: tuple[Linear | Norm | Junction, ...]
    whole: bool = False
    once: bool = False


def walk(root: Node) -> tuple[dict[Node, int], Shape]:
    """Every node that gradients reach from this one, numbered, and their shape."""
    number = {root: 0}
    nodes, edges = [root], []
    for node in nodes:  # which grow meanwhile
        following = []
        for after, output in node.next_functions:
            if after is None:
                following.append((-1, output))
                continue
            found = number.get(after)
            if found is None:
                found = number[after] = len(nodes)
                nodes.append(after)
            following.append((found, output))
        edges.append(tuple(following))
    return number, Shape(tuple(map(type, nodes)), tuple(edges))


@lru_cache(maxsize=1024)
def find_graph(shape: Shape, end: int | None, hooked: frozenset[int] = frozenset()) -> StageGraph:
    """The path to the input, and what branches off.

    end      the input's node; None where the input needs no gradient
    hooked   junctions whose saved tensors are in somebody else's keeping
    """
    kinds = shape.kinds
    if any(kind.__name__ == "CheckpointFunctionBackward" for kind in kinds):
        leaves = [node for node, kind in enumerate(kinds) if kind is _LEAF and node != end]
        return StageGraph((), dict.fromkeys(leaves, REENTRANT), (), whole=True)
    edges = [[pair for pair in dict.fromkeys(pairs) if pair[0] >= 0] for pairs in shape.edges]
    order = _order(edges)
    users = Counter(after for pairs in edges for after in {after for after, _ in pairs})
    ends = _first_operations(shape, order) if end is None else {end}
    early: dict[int, str] = {}
    while True:
        # Whatever leads to a leaf that can't wait belongs to the path as well; so look again until no leaf is added.
        path = {*ends, *early}
        for node in order:
            if any(after in path for after, _ in edges[node]):
                path.add(node)
        branches = {node: [pair for pair in edges[node] if pair[0] not in path] for node in order if node in path}
        below = {head: _leaves(head, shape) for leaving in branches.values() for head, _ in leaving}
        known = {node: _layer(node, shape, path) for node in branches if node not in hooked}
        added = {
            leaf: why
            for node, leaving in branches.items()
            if not known.get(node)
            for head, _ in leaving
            if (why := _cannot_wait(kinds[node], node in hooked, users[head]))
            for leaf in below[head]
        }
        if not added:
            break
        early |= added
    heads = [head for leaving in branches.values() for head in {head for head, _ in leaving}]
    owners = Counter(leaf for head in heads for leaf in below[head])
    junctions: list[Linear | Norm | Junction] = []
    for node, leaving in branches.items():
        if layer := known.get(node):
            junctions.append(layer)
        elif leaving:
            own = {head for head, _ in leaving if all(owners[leaf] == 1 for leaf in below[head])}
            own_leaves = dict.fromkeys(leaf for head in sorted(own) for leaf in below[head])
            junctions.append(Junction(node, tuple(own_leaves), tuple(pair for pair in leaving if pair[0] not in own)))
    once = not early and all(not isinstance(each, Junction) or each.node in ends for each in junctions)
    return StageGraph(tuple(ends), early, tuple(junctions), once=once)


def _order(edges: Sequence[Sequence[tuple[int, int]]]) -> tuple[int, ...]:
    """All nodes, each after those that it points to."""
    return tuple(
        TopologicalSorter({node: [after for after, _ in pairs] for node, pairs in enumerate(edges)}).static_order()
    )


def _first_operations(shape: Shape, order: Sequence[int]) -> set[int]:
    """Where the path ends if the stage's input needs no gradient: the first operations on it.

    The graph doesn't know the input then. A chain of operations with one input each that begins at a parameter is taken
    for the parameter's preparation (a transpose, a slice, an embedding's look-up), and what first combines such chains
    for a first operation. (A wrong guess would shift work between I and W, no more.)
    """
    preparing: set[int] = {-1}
    first: set[int] = set()
    for node in order:
        sources = {after for after, _ in shape.edges[node]} - {-1}
        if shape.kinds[node] is _LEAF or (len(sources) == 1 and sources <= preparing):
            preparing.add(node)
        elif sources <= preparing:
            first.add(node)
    return first or {0}  # nothing but a chain: all of it is for W


def _leaves(head: int, shape: Shape) -> tuple[int, ...]:
    """The parameters at the end of a branch."""
    found, stack = {head: None}, [head]
    while stack:
        for after, _ in shape.edges[stack.pop()]:
            if after >= 0 and after not in found:
                found[after] = None
                stack.append(after)
    return tuple(node for node in found if shape.kinds[node] is _LEAF)


def _layer(node: int, shape: Shape, path: Collection[int]) -> Linear | Norm | None:
    """This node of the path as a linear layer or a layer norm, if it is one: its weight and bias are parameters."""
    kind = shape.kinds[node].__name__
    if kind in _PRODUCTS:
        *bias, x, weight = (after for after, _ in shape.edges[node])
    elif kind == _NORM:
        x, weight, *bias = (after for after, _ in shape.edges[node])
    else:
        return None
    transposed = kind in _PRODUCTS and weight >= 0 and shape.kinds[weight].__name__ == "TBackward0"
    parameters = (shape.edges[weight][0][0] if transposed else weight, *bias)
    fine = x == -1 or x in path
    for parameter in parameters:
        fine = fine and parameter not in path and (parameter == -1 or shape.kinds[parameter] is _LEAF)
    w, b = (None if parameter == -1 else parameter for parameter in (*parameters, -1)[:2])
    if not fine or (w is None and (b is None or kind in _PRODUCTS)):
        return None
    return Norm(node, w, b) if w is None or kind == _NORM else Linear(node, w, b, transposed)


def _cannot_wait(kind: type, hooked: bool, users: int) -> str:
    """Why the gradients on a branch must be computed at I, if they must; `users`: of its first node."""
    if issubclass(kind, BackwardCFunction):
        return CUSTOM
    if kind.__name__ in _ONE_KERNEL:
        return KERNEL
    if hooked:
        return HOOKED
    return SHARED if users > 1 else ""
