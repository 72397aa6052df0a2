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

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from itertools import islice
from typing import Any

import torch
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge, saved_tensors_hooks
from torch.utils.hooks import RemovableHandle

from .graph import find_graph, walk
from .junctions import KINDS, Branches, Further, Layer, add, has_hooks
from .saved_tensors import ActivationBytes, Boxes, Kept


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
        self.boxes = Boxes(counter)
        self.keeps = boxes or counter is not None
        self.early: dict[torch.Tensor, str] = {}
        self.once = False
        self.hooks_before: int = RemovableHandle.next_id
        self.junctions: list[Layer | Branches] = []  # whose gradients are still to be computed

    def keeping(self) -> AbstractContextManager[Any]:
        """The context in which to do the forward: puts what it saves for the backward into boxes."""
        return saved_tensors_hooks(self.boxes.put, self.boxes.get) if self.keeps else nullcontext()

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
        self.junctions = [KINDS[type(junction)](self.boxes, nodes, junction) for junction in graph.junctions]
        leave = [nodes[junction.node] for junction in graph.junctions]
        self.once = graph.once and not (end is not None and has_hooks(nodes[end].variable)) and not self._watched(leave)
        if self.once and not self.boxes.counter:
            self._at_once(output, gradient, leave, None if end is None else nodes[end])
            return
        for part, junction in zip(self.junctions, graph.junctions, strict=True):
            part.listen(nodes[junction.node])
        asked = [GradientEdge(nodes[node], 0) for node in (*graph.ends, *graph.early)]
        with self.boxes.emptied():
            torch.autograd.backward([output], [gradient], retain_graph=bool(self.junctions), inputs=asked)

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
            add(end, dx)

    def _watched(self, nodes: list[Node]) -> bool:
        """Has the user put hooks on these nodes that may change the dY? Autograd would give it as it was before."""
        # Most forwards register no hook at all, and then there can be none on the nodes that they made.
        return self.hooks_before != RemovableHandle.next_id and any(map(_has_prehooks, nodes))

    @torch.no_grad()
    def weight_gradients(self) -> None:
        """W: add to every parameter's ``grad`` what `input_gradient` left out, and free all that was kept for it."""
        further: Further = []
        while self.junctions:
            further += self.junctions.pop().weight_gradients()  # from the output's side; what it kept goes with it
        if further:
            edges, gradients = zip(*further, strict=True)
            torch.autograd.backward(edges, gradients)


@lru_cache(maxsize=1024)
def _saved_by(kind: type) -> tuple[str, ...]:
    return tuple(name for name in dir(kind) if name.startswith("_raw_saved_"))


def _has_prehooks(node: Node) -> bool:
    """Only a handle leads to a node's hooks: one hook more, and see whether it is alone."""
    handle: Any = node.register_prehook(lambda gradients: None)
    alone = len(handle.hooks_dict_ref()) == 1
    handle.remove()
    return not alone


def _is_hooked(node: Node) -> bool:
    """Has somebody else's hook packed what this node saved? Then it's no box, and no tensor either."""
    for name in _saved_by(type(node)):
        packed = getattr(getattr(node, name), "data", None)
        if packed is not None:
            return not isinstance(packed, (Kept, torch.Tensor))
    return False
