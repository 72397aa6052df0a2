"""Split backward: first the gradient that the previous stage waits for, later those of this stage's own parameters.

After a forward, autograd holds a graph with a node for every operation. Gradients flow through it from the stage's
output to its ends: the stage's input, and its parameters. Of two linear layers with a tanh between them:

    output ── linear 2 ── tanh ── linear 1 ── input
                 │                   │
              weight 2            weight 1

The *path* is every node from which the input can be reached. What leaves the path ends at parameters only: a *branch*.
Where branches leave is a *junction*: there the incoming gradient dY has two uses, and for a linear layer each is a
matrix product of its own,

    dX = dY · Wᵀ     goes on along the path; the previous stage waits for it
    dW = Xᵀ · dY     goes down the branch; nobody waits for it before the optimizer

Autograd computes of a node only the gradients that lead to an end it was asked for. So:

    I   asks for the input's gradient: backward runs every node of the path, for its dX only. Note each junction's dY.
    W   takes each junction again, with its dY, and computes what goes down its branches: its dW only.

Together they compute what one whole backward computes, each product once.

Where all junctions are linear layers and layer norms, as in a transformer, I takes of each its X and dY, and autograd
lets go of the graph meanwhile. What W computes from them it computes itself, without autograd.

Memory: elsewhere I has autograd keep the graph, because W needs the junctions again. But what the forward saved lies in
boxes (`Kept`), and when I is over those are emptied that other nodes than junctions have read. Either way, what stays
until W is what W needs: the X and the dY of each junction.

Some parameters' gradients can't wait, and are taken along at I; `SplitBackward.early` tells which and why. Nothing is
computed twice for them either, but less is left for W.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge, saved_tensors_hooks

from .graph import Junction, Linear, Norm, find_graph, walk
from .saved_tensors import ActivationBytes, Kept

_norm_backward = torch.ops.aten.native_layer_norm_backward.default
Further = list[tuple[GradientEdge, torch.Tensor]]  # gradients that have further to go, each with its next edge


class SplitBackward:
    """One forward of a stage, and its backward in two parts.

    Parameters
    ----------
    counter : ActivationBytes, optional
        Counts the bytes that it keeps.
    boxes : bool
        False: don't put into boxes what the forward saves. That is faster, and right where an earlier micro-batch's
        `once` was true; elsewhere the memory of what W doesn't need is let go at W only.

    Attributes
    ----------
    early : dict of Tensor to str
        Parameter -> why its gradient is computed in the first part already.
    once : bool
        Did the first part go through the graph once and for all? Then it needed no boxes.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> stage, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.ones(1, 3, requires_grad=True)
    >>> split = SplitBackward()
    >>> with split.keeping():
    ...     y = stage(x)
    >>> split.input_gradient(y, torch.ones(1, 2), x)
    >>> x.grad is not None, stage[0].weight.grad is not None
    (True, False)
    >>> split.weight_gradients()
    >>> stage[0].weight.grad is not None
    True
    """

    def __init__(self, *, counter: ActivationBytes | None = None, boxes: bool = True) -> None:
        self.counter, self.boxes, self.once = counter, boxes or counter is not None, False
        self.early: dict[torch.Tensor, str] = {}
        self.junctions: list[_Product | _Norm | _General] = []  # whose gradients are still to be computed
        self.read: list[Kept] = []  # boxes that I has read, but not for a junction that needs them again
        self.running = self.at_junction = False

    def keeping(self) -> AbstractContextManager[Any]:
        """The context in which to do the forward: puts what it saves for the backward into boxes."""
        if not self.boxes:
            return nullcontext()
        return saved_tensors_hooks(lambda tensor: Kept(tensor, self.counter), self._get)

    def _get(self, kept: Kept) -> torch.Tensor:
        if self.running and not self.at_junction:
            self.read.append(kept)
        return kept.get()

    def input_gradient(
        self, output: torch.Tensor, gradient: torch.Tensor | None, received: torch.Tensor | None = None
    ) -> None:
        """I: leave the input's gradient in ``received.grad``, and note what `weight_gradients` needs.

        Parameters
        ----------
        output : Tensor
            Of the forward.
        gradient : Tensor, optional
            Of the output; None for a loss, which is one number.
        received : Tensor, optional
            The stage's input, a leaf. If it needs no gradient (token ids), I goes as far back as the first operations
            on it, so that W has no more to do than on any other stage.
        """
        if not output.requires_grad:
            return
        number, shape = walk(get_gradient_edge(output).node)
        nodes: list[Any] = [*number]  # Any: what a node has depends on its kind
        end = None
        if received is not None and received.requires_grad and received.is_leaf:
            end = number.get(get_gradient_edge(received).node)
        graph = find_graph(shape, end)
        if hooked := frozenset(junction.node for junction in graph.junctions if _is_hooked(nodes[junction.node])):
            graph = find_graph(shape, end, hooked)
        self.early = {nodes[leaf].variable: why for leaf, why in graph.early.items()}
        if graph.whole:
            torch.autograd.backward([output], [gradient])
            return
        self.junctions = [_KINDS[type(junction)](self, nodes, junction) for junction in graph.junctions]
        self.once = graph.once
        if graph.once and not self.counter and (end is None or not _has_hooks(nodes[end].variable)):
            leave = [nodes[junction.node] for junction in graph.junctions]
            self._at_once(output, gradient, leave, None if end is None else nodes[end])
            return
        for part, junction in zip(self.junctions, graph.junctions, strict=True):
            part.listen(nodes[junction.node])
        asked = [GradientEdge(nodes[node], 0) for node in (*graph.ends, *graph.early)]
        self.running = True
        torch.autograd.backward([output], [gradient], retain_graph=bool(self.junctions), inputs=asked)
        self.running = False
        for kept in self.read:
            kept.free()
        self.read.clear()

    def _at_once(self, output: torch.Tensor, gradient: torch.Tensor | None, leave: list[Node], end: Any | None) -> None:
        """I, where no node on the path runs again at W: autograd gives each junction's dY as it gives the end's.

        Not where bytes are counted: they are while autograd runs, and so a hook has to see what comes.
        """
        edges = [[GradientEdge(node, number) for number in range(len(node._input_metadata))] for node in leave]
        asked = [edge for each in edges for edge in each]
        if end is not None:
            asked.append(GradientEdge(end, 0))
        found = iter(torch.autograd.grad([output], asked, [gradient], allow_unused=True) if asked else ())
        for part, own in zip(self.junctions, edges, strict=True):
            part.arrived.note(tuple(islice(found, len(own))))
        for dx in found:
            _add(end, dx)

    @torch.no_grad()
    def weight_gradients(self) -> None:
        """W: add to every parameter's ``grad`` what `input_gradient` left out, and free all that was kept for it."""
        further: Further = []
        while self.junctions:
            further += self.junctions.pop().weight_gradients()  # from the output's side; what it kept goes with it
        if further:
            edges, gradients = zip(*further, strict=True)
            torch.autograd.backward(edges, gradients)


class _Arrived:
    """The gradients that arrived at a junction, kept apart from it: a node and its hooks must not own each other."""

    def __init__(self, split: SplitBackward) -> None:
        self.split = split
        self.gradients: list[Kept | None] = []

    def note(self, gradients: tuple[torch.Tensor | None, ...]) -> None:
        self.gradients = [None if gradient is None else Kept(gradient, self.split.counter) for gradient in gradients]

    def enter(self, gradients: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
        self.split.at_junction = True
        if not self.gradients:
            self.note(gradients)
            return gradients
        # In W: hooks that the user put on this tensor have just run once more; right is what they gave the first time.
        return tuple(kept.get() if kept else None for kept in self.gradients)

    def leave(self, *_: object) -> None:
        self.split.at_junction = False


class _Layer:
    """A junction whose weights' gradients are computed here, from its X and dY. Its node is not needed again."""

    def __init__(self, split: SplitBackward, x: torch.Tensor) -> None:
        self.x, self.arrived = Kept(x, split.counter), _Arrived(split)
        self.hook: Any = None

    def listen(self, node: Node) -> None:
        """Note the gradients that arrive while autograd runs."""
        self.hook = node.register_prehook(self.arrived.note)

    def weight_gradients(self) -> Further:
        if self.hook:
            self.hook.remove()
        dy = self.arrived.gradients[0] if self.arrived.gradients else None
        return self.products(self.x.get(), dy.get()) if dy else []

    def products(self, x: torch.Tensor, dy: torch.Tensor) -> Further:
        raise NotImplementedError


class _Product(_Layer):
    """A linear layer. All it leaves to W is one product, dW = Xᵀ · dY, which is added to the gradient directly."""

    def __init__(self, split: SplitBackward, nodes: list[Any], linear: Linear) -> None:
        node, self.transposed = nodes[linear.node], linear.transposed
        self.weight, self.bias = nodes[linear.weight], None if linear.bias is None else nodes[linear.bias]
        if node.name() == "AddmmBackward0":
            x, self.alpha, self.beta = node._saved_mat1, node._saved_alpha, node._saved_beta
        else:
            x, self.alpha, self.beta = node._saved_self, 1, 1
        super().__init__(split, x)

    def products(self, x: torch.Tensor, dy: torch.Tensor) -> Further:
        x = x.conj()
        further = _add_product(self.weight, *((dy.t(), x) if self.transposed else (x.t(), dy)), self.alpha)
        if self.bias is not None:
            summed = dy.sum_to_size(self.bias.variable.shape)
            further += _add(self.bias, summed if self.beta == 1 else self.beta * summed)
        return further


class _Norm(_Layer):
    """A layer norm. It computes all three gradients in one pass or, as here, those that are asked for."""

    def __init__(self, split: SplitBackward, nodes: list[Any], norm: Norm) -> None:
        node = nodes[norm.node]
        self.leaves = [None if leaf is None else nodes[leaf] for leaf in (norm.weight, norm.bias)]
        self.shape, self.weights = node._saved_normalized_shape, (node._saved_weight, node._saved_bias)
        self.statistics = [Kept(each, split.counter) for each in (node._saved_result1, node._saved_result2)]
        super().__init__(split, node._saved_input)

    def products(self, x: torch.Tensor, dy: torch.Tensor) -> Further:
        mean, deviation = (each.get() for each in self.statistics)
        asked = [False, *(leaf is not None for leaf in self.leaves)]
        _, *gradients = _norm_backward(dy, x, self.shape, mean, deviation, *self.weights, asked)
        pairs = zip(self.leaves, gradients, strict=True)
        return [each for leaf, gradient in pairs if leaf is not None for each in _add(leaf, gradient)]


class _General:
    """Any other junction: autograd runs its node again, for its branches only.

    own      the leaves of branches, where no other junction leads to them
    shared   the first edges of the other branches, as of a computed weight that depends on what others depend on, too.
             Asked for their leaf, autograd would go along the path to the next junction as well; the edge itself
             belongs to this junction alone.
    """

    def __init__(self, split: SplitBackward, nodes: list[Any], junction: Junction) -> None:
        self.node: Node = nodes[junction.node]
        self.own = [GradientEdge(nodes[leaf], 0) for leaf in junction.own]
        self.shared = [GradientEdge(nodes[head], number) for head, number in junction.shared]
        self.arrived = _Arrived(split)
        self.hooks: tuple[Any, ...] = ()

    def listen(self, node: Node) -> None:
        self.hooks = node.register_prehook(self.arrived.enter), node.register_hook(self.arrived.leave)

    def weight_gradients(self) -> Further:
        """The own leaves get their gradients; those at the shared edges are returned."""
        if not self.hooks:
            self.listen(self.node)
        edges = [GradientEdge(self.node, number) for number, kept in enumerate(self.arrived.gradients) if kept]
        gradients = [kept.get() for kept in self.arrived.gradients if kept]
        further: Further = []
        if edges and self.shared:
            again = bool(self.own)
            parts = torch.autograd.grad(edges, self.shared, gradients, retain_graph=again, allow_unused=True)
            further = [(edge, part) for edge, part in zip(self.shared, parts, strict=True) if part is not None]
        if edges and self.own:
            torch.autograd.backward(edges, gradients, inputs=self.own)
        for hook in self.hooks:
            hook.remove()
        return further


_KINDS: dict[type, Callable[[SplitBackward, list[Any], Any], _Product | _Norm | _General]] = {
    Linear: _Product,
    Norm: _Norm,
    Junction: _General,
}


def _add_product(leaf: Any, a: torch.Tensor, b: torch.Tensor, scale: float) -> Further:
    """Add scale · a · b to a parameter's gradient; see `_add`."""
    parameter = leaf.variable
    if parameter.grad is None or _has_hooks(parameter):
        return _add(leaf, a @ b if scale == 1 else scale * (a @ b))
    torch.addmm(parameter.grad, a, b, alpha=scale, out=parameter.grad)
    return []


def _add(leaf: Any, gradient: torch.Tensor) -> Further:
    """Add to a parameter's gradient. Where the user has put hooks on the parameter, autograd must do it: return it."""
    parameter = leaf.variable
    if _has_hooks(parameter):
        return [(GradientEdge(leaf, 0), gradient)]
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient
    return []


def _has_hooks(parameter: torch.Tensor) -> bool:
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)  # type: ignore[attr-defined]


@lru_cache(maxsize=1024)
def _saved_by(kind: type) -> tuple[str, ...]:
    return tuple(name for name in dir(kind) if name.startswith("_raw_saved_"))


def _is_hooked(node: Node) -> bool:
    """Has somebody else's hook packed what this node saved? Then it's no box, and no tensor either."""
    for name in _saved_by(type(node)):
        packed = getattr(getattr(node, name), "data", None)
        if packed is not None:
            return not isinstance(packed, (Kept, torch.Tensor))
    return False
