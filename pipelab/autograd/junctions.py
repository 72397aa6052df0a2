"""Junctions: what each kind leaves to W, and computes there.

The words are those of :mod:`pipelab.autograd.split_backward`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, Node

from .graph import Junction, Linear, Norm
from .saved_tensors import Boxes, Kept

_norm_backward = torch.ops.aten.native_layer_norm_backward.default
Further = list[tuple[GradientEdge, torch.Tensor]]  # gradients that have further to go, each with its next edge


class Arrived:
    """The gradients that arrived at a junction, kept apart from it: a node and its hooks must not own each other."""

    def __init__(self, boxes: Boxes) -> None:
        self.boxes = boxes
        self.gradients: list[Kept | None] = []

    def note(self, gradients: tuple[torch.Tensor | None, ...]) -> None:
        self.gradients = [None if gradient is None else Kept(gradient, self.boxes.counter) for gradient in gradients]

    def enter(self, gradients: tuple[torch.Tensor | None, ...]) -> tuple[torch.Tensor | None, ...]:
        self.boxes.at_junction = True
        if not self.gradients:
            self.note(gradients)
            return gradients
        # In W: hooks that the user put on this tensor have just run once more; right is what they gave the first time.
        return tuple(kept.get() if kept else None for kept in self.gradients)

    def leave(self, *_: object) -> None:
        self.boxes.at_junction = False


class Layer:
    """A junction whose weights' gradients are computed here, from its X and dY. Its node is not needed again."""

    def __init__(self, boxes: Boxes, x: torch.Tensor) -> None:
        self.x, self.arrived = Kept(x, boxes.counter), Arrived(boxes)
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


class Product(Layer):
    """A linear layer. All it leaves to W is one product, dW = Xᵀ · dY, which is added to the gradient directly."""

    def __init__(self, boxes: Boxes, nodes: list[Any], linear: Linear) -> None:
        node, self.transposed = nodes[linear.node], linear.transposed
        self.weight, self.bias = nodes[linear.weight], None if linear.bias is None else nodes[linear.bias]
        if node.name() == "AddmmBackward0":
            x, self.alpha, self.beta = node._saved_mat1, node._saved_alpha, node._saved_beta
        else:
            x, self.alpha, self.beta = node._saved_self, 1, 1
        super().__init__(boxes, x)

    def products(self, x: torch.Tensor, dy: torch.Tensor) -> Further:
        x = x.conj()
        further = _add_product(self.weight, *((dy.t(), x) if self.transposed else (x.t(), dy)), self.alpha)
        if self.bias is not None:
            summed = dy.sum_to_size(self.bias.variable.shape)
            if summed is dy:  # a bias for each row: nothing to sum, and dY is not this layer's own
                summed = dy.clone()
            further += add(self.bias, summed if self.beta == 1 else self.beta * summed)
        return further


class LayerNorm(Layer):
    """A layer norm. It computes all three gradients in one pass or, as here, those that are asked for."""

    def __init__(self, boxes: Boxes, nodes: list[Any], norm: Norm) -> None:
        node = nodes[norm.node]
        self.leaves = [None if leaf is None else nodes[leaf] for leaf in (norm.weight, norm.bias)]
        self.shape, self.weights = node._saved_normalized_shape, (node._saved_weight, node._saved_bias)
        self.statistics = [Kept(each, boxes.counter) for each in (node._saved_result1, node._saved_result2)]
        super().__init__(boxes, node._saved_input)

    def products(self, x: torch.Tensor, dy: torch.Tensor) -> Further:
        mean, deviation = (each.get() for each in self.statistics)
        asked = [False, *(leaf is not None for leaf in self.leaves)]
        _, *gradients = _norm_backward(dy, x, self.shape, mean, deviation, *self.weights, asked)
        pairs = zip(self.leaves, gradients, strict=True)
        return [each for leaf, gradient in pairs if leaf is not None for each in add(leaf, gradient)]


class Branches:
    """Any other junction: autograd runs its node again, for its branches only.

    own      the leaves of branches, where no other junction leads to them
    shared   the first edges of the other branches, as of a computed weight that depends on what others depend on, too.
             Asked for their leaf, autograd would go along the path to the next junction as well; the edge itself
             belongs to this junction alone.
    """

    def __init__(self, boxes: Boxes, nodes: list[Any], junction: Junction) -> None:
        self.node: Node = nodes[junction.node]
        self.own = [GradientEdge(nodes[leaf], 0) for leaf in junction.own]
        self.shared = [GradientEdge(nodes[head], number) for head, number in junction.shared]
        self.arrived = Arrived(boxes)
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


KINDS: dict[type, Callable[[Boxes, list[Any], Any], Layer | Branches]] = {
    Linear: Product,
    Norm: LayerNorm,
    Junction: Branches,
}


def _add_product(leaf: Any, a: torch.Tensor, b: torch.Tensor, scale: float) -> Further:
    """Add scale · a · b to a parameter's gradient; see `add`."""
    parameter = leaf.variable
    if parameter.grad is None or has_hooks(parameter):
        return add(leaf, a @ b if scale == 1 else scale * (a @ b))
    torch.addmm(parameter.grad, a, b, alpha=scale, out=parameter.grad)
    return []


def add(leaf: Any, gradient: torch.Tensor) -> Further:
    """Add to a parameter's gradient. Where the user has put hooks on the parameter, autograd must do it: return it."""
    parameter = leaf.variable
    if has_hooks(parameter):
        return [(GradientEdge(leaf, 0), gradient)]
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient
    return []


def has_hooks(parameter: torch.Tensor) -> bool:
    return bool(parameter._backward_hooks or parameter._post_accumulate_grad_hooks)  # type: ignore[attr-defined]
