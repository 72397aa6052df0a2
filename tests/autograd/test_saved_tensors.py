"""Saved tensors: a split backward keeps no more than it needs, and notices what was modified meanwhile."""

from __future__ import annotations

import gc

import pytest
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef

from pipelab.autograd.saved_tensors import ActivationBytes, Kept
from pipelab.autograd.split_backward import SplitBackward

from .halves import fresh_input, output_gradient, split
from .zoo import STAGES, WIDTH, Attention, vectors

ROW = 2 * 3 * WIDTH * 8  # bytes of one activation [2, 3, WIDTH] in float64


class TestMemory:
    """In bytes that the saved-tensor hooks count: what I needs no more goes at I, what W needs stays until W."""

    def test_of_an_mlp(self) -> None:
        def make() -> nn.Module:
            return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Sigmoid(), nn.Linear(WIDTH, WIDTH))

        actual = split(make, vectors)
        # F: both linear layers' inputs and tanh's and sigmoid's outputs, of which one is such an input.
        # I: both inputs and both dY remain. W: nothing.
        assert actual.kept == (3 * ROW, 4 * ROW, 0)
        assert actual.counter.freed == 5 * ROW

    def test_without_parameters_i_frees_everything(self) -> None:
        actual = split(lambda: nn.Sequential(nn.Tanh(), nn.Sigmoid()), vectors)
        assert actual.kept == (2 * ROW, 0, 0)

    def test_of_attention(self) -> None:
        """Queries, keys, values and the attention's own record are gone after I."""
        actual = split(Attention, vectors)
        x_and_dy = (1 + 3) * ROW + (1 + 1) * ROW  # of both linear layers
        assert actual.kept[1] == x_and_dy
        assert actual.kept[0] > (1 + 3 + 1) * ROW

    @pytest.mark.parametrize("boxes", [True, False])
    def test_freed_tensors_are_really_gone(self, boxes: bool) -> None:
        """Not only from the count: nobody holds their storage any more."""
        stage = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Sigmoid()).double()
        storages: list[StorageWeakRef] = []
        for layer in stage:
            layer.register_forward_hook(lambda *args: storages.append(StorageWeakRef(args[2].untyped_storage())))
        received, halves = fresh_input(vectors), SplitBackward(boxes=boxes)
        with halves.keeping():
            output = stage(received)
        gone = [[storage.expired() for storage in storages]]
        halves.input_gradient(output, output_gradient(output), received)
        del output
        gone.append([storage.expired() for storage in storages])
        halves.weight_gradients()
        gone.append([storage.expired() for storage in storages])
        # The first layer's output is needed by nobody, tanh's by the second linear layer at W, sigmoid's at I.
        assert gone == [[True, False, True, False], [True, False, True, True], [True] * 4]

    def test_w_frees_layer_by_layer(self) -> None:
        """Not all at its end: W's peak is I's."""
        counter = ActivationBytes([])
        stage = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(3))).double()
        received, halves, seen = fresh_input(vectors), SplitBackward(counter=counter), []
        with halves.keeping():
            output = stage(received)
        halves.input_gradient(output, output_gradient(output), received)
        for layer in stage:
            layer.weight.register_post_accumulate_grad_hook(lambda _: seen.append(counter.now))
        while halves.junctions:
            halves.junctions.pop().weight_gradients()
            seen.append(counter.now)
        assert seen == sorted(seen, reverse=True)
        assert len(set(seen)) == 3

    def test_nothing_is_left_to_the_garbage_collector(self) -> None:
        """Graph, boxes and hooks don't keep each other: without collector, all boxes are gone after W."""
        gc.collect()
        before = len(_boxes())
        gc.disable()
        try:
            for name in ("custom function", "transformer blocks", "in place", "used twice", "weight norm"):
                split(STAGES[name][0], vectors)
            assert len(_boxes()) == before
        finally:
            gc.enable()


def _boxes() -> list[Kept]:
    return [each for each in gc.get_objects() if type(each) is Kept]


class TestInPlace:
    """Torch doesn't notice that a tensor was modified which hooks have packed. The boxes do."""

    class Spoilt(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out = x.tanh()
            out.mul_(2)
            return out

    def test_split(self) -> None:
        with pytest.raises(RuntimeError, match="modified by an inplace operation: it is at version 1"):
            split(self.Spoilt, vectors)

    def test_while_memory_is_measured(self) -> None:
        with ActivationBytes([]).counting():
            output = self.Spoilt()(fresh_input(vectors))
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()

    def test_of_x_between_i_and_w(self) -> None:
        stage, received, halves = nn.Linear(WIDTH, WIDTH).double(), fresh_input(vectors), SplitBackward()
        with halves.keeping():
            output = stage(received)
        halves.input_gradient(output, output_gradient(output), received)
        received.data.zero_()  # behind autograd's back: nobody can notice
        received.detach().zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            halves.weight_gradients()
