"""Split backward: I and W give what one whole backward gives, each product once."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from pipelab.autograd.graph import CUSTOM, HOOKED, KERNEL, REENTRANT, SHARED
from pipelab.autograd.split_backward import SplitBackward

from .halves import WAYS, fresh_input, same, split, whole
from .zoo import ALL, KINDS, STAGES, WIDTH, Custom, Product, Program, Twice, blocks, tokens, vectors


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("times", [1, 3], ids=["once", "summed"])
@pytest.mark.parametrize(("make", "x", "deferred"), [each[1:] for each in ALL], ids=[each[0] for each in ALL])
def test_both_halves_together_are_the_whole(make, x: Tensor, deferred: bool, times: int, way: str) -> None:
    """The same gradients as autograd's and the same FLOPs; all parameters' gradients at W unless told otherwise."""
    expected_flops, expected, expected_input = whole(make, x, times)
    actual = split(make, x, times, way)
    assert actual.gradients.keys() == expected.keys()
    assert [name for name, wanted in expected.items() if not same(actual.gradients[name], wanted)] == []
    assert same(actual.received, expected_input)
    assert sum(actual.flops) == expected_flops
    assert not actual.split.early if deferred else actual.split.early
    assert actual.kept[2] == 0
    if deferred and times == 1:
        assert not any(gradient is not None for gradient in actual.after_input.values())


@pytest.mark.parametrize("name", ["linear", "transformer blocks"])
def test_half_of_a_linear_layers_flops_is_w(name: str) -> None:
    """dX and dW are products of one size. (The attention of these blocks has no FLOPs that torch would count.)"""
    of_input, of_weights = split(STAGES[name][0], vectors).flops
    assert of_input == of_weights > 0


def test_the_first_stage_shares_its_work_between_both_halves() -> None:
    """It has no input's gradient to compute; but W is not left with everything."""
    actual = split(lambda: blocks(0), tokens)
    assert actual.flops[0] == actual.flops[1] > 0


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("custom function", {"w": CUSTOM}),
        ("prelu", {"1.weight": KERNEL}),
        ("raw parameters", {"w": SHARED, "scale": SHARED}),
        ("checkpointed", dict.fromkeys(["inner.0.weight", "inner.0.bias", "inner.2.weight", "inner.2.bias"], HOOKED)),
        ("reentrant checkpoint", dict.fromkeys(["outer.weight", "outer.bias"], REENTRANT)),
    ],
)
def test_what_can_not_wait_is_told(name: str, reasons: dict[str, str]) -> None:
    torch.manual_seed(0)
    stage = STAGES[name][0]()
    received, halves = fresh_input(vectors.float()), SplitBackward()
    with halves.keeping():
        output = stage(received)
    halves.input_gradient(output, torch.ones_like(output), received)
    names = {p: n for n, p in stage.named_parameters()}
    assert {names[p]: why for p, why in halves.early.items()} == reasons
    assert all(p.grad is not None for p in halves.early)


def test_a_custom_function_runs_its_backward_once() -> None:
    Product.calls = 0
    split(Custom, vectors)
    assert Product.calls == 1


def test_a_layer_used_twice_leaves_its_products_to_w() -> None:
    of_input, of_weights = split(Twice, vectors).flops
    assert of_input == of_weights > 0


def test_a_transformers_graph_is_gone_after_i() -> None:
    """All its junctions are layers whose weights' gradients need X and dY alone; a convolution is none."""
    assert split(lambda: blocks(1), vectors, way="bare").split.once
    assert not split(STAGES["convolution"][0], vectors, way="bare").split.once


def test_a_loss_is_split_too() -> None:
    """The last stage: backward begins at one number, without a gradient from outside."""
    stage, received, halves = nn.Linear(WIDTH, WIDTH).double(), fresh_input(vectors), SplitBackward()
    with halves.keeping():
        loss = (stage(received) ** 2).mean()
    expected = torch.autograd.grad((stage(received) ** 2).mean(), [received, *stage.parameters()])
    halves.input_gradient(loss, None, received)
    assert stage.weight.grad is None
    halves.weight_gradients()
    found = [received.grad, stage.weight.grad, stage.bias.grad]
    assert all(same(actual, wanted) for actual, wanted in zip(found, expected, strict=True))


class TestHooks:
    """Hooks that a user has put on tensors and parameters act as they do in a whole backward."""

    @pytest.mark.parametrize("way", WAYS)
    def test_on_parameters_and_activations(self, way: str) -> None:
        class Hooked(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
                self.linear.weight.register_hook(lambda gradient: gradient * 3)
                self.norm.weight.register_hook(lambda gradient: gradient * 5)

            def forward(self, x: Tensor) -> Tensor:
                x.register_hook(lambda gradient: gradient * 11)
                normed = self.norm(x)
                normed.register_hook(lambda gradient: gradient * 2)
                out = self.linear(normed)
                out.register_hook(lambda gradient: gradient * 7)
                return out.tanh()

        _, expected, expected_input = whole(Hooked, vectors)
        actual = split(Hooked, vectors, way=way)
        assert all(same(actual.gradients[name], wanted) for name, wanted in expected.items())
        assert same(actual.received, expected_input)

    @pytest.mark.parametrize("way", WAYS)
    def test_on_nodes(self, way: str) -> None:
        """What they make of a dY is for both halves. Then autograd runs as with a convolution, and boxes are wanted."""

        class Hooked(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.norm, self.linear = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

            def forward(self, x: Tensor) -> Tensor:
                normed = self.norm(x.flatten(0, -2))
                normed.grad_fn.register_prehook(lambda gradients: (gradients[0] * 2, *gradients[1:]))
                return self.linear(normed)

        _, expected, expected_input = whole(Hooked, vectors)
        actual = split(Hooked, vectors, way=way)
        assert all(same(actual.gradients[name], wanted) for name, wanted in expected.items())
        assert same(actual.received, expected_input)
        assert not actual.split.once

    @pytest.mark.parametrize("watched", [True, False])
    def test_a_watched_input_wants_boxes(self, watched: bool) -> None:
        class Watching(nn.Linear):
            def forward(self, x: Tensor) -> Tensor:
                (x if watched else x * 1).register_hook(lambda gradient: None)
                return super().forward(x)

        assert split(lambda: Watching(WIDTH, WIDTH), vectors, way="bare").split.once is not watched

    @pytest.mark.parametrize("way", WAYS)
    def test_after_accumulation(self, way: str) -> None:
        calls = []

        def make() -> nn.Module:
            stage = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH))
            for p in stage.parameters():
                p.register_post_accumulate_grad_hook(lambda p: calls.append(p.shape))
            return stage

        whole(make, vectors)
        expected, calls[:] = sorted(calls), []
        split(make, vectors, way=way)
        assert sorted(calls) == expected
        assert len(calls) == 4


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
        max_size=8,
    ),
    st.sampled_from(WAYS),
)
def test_random_stages(steps, way: str) -> None:
    x = vectors[..., :4].contiguous()
    expected_flops, expected, expected_input = whole(lambda: Program(steps), x)
    actual = split(lambda: Program(steps), x, way=way)
    assert [name for name, wanted in expected.items() if not same(actual.gradients[name], wanted)] == []
    assert same(actual.received, expected_input)
    assert sum(actual.flops) == expected_flops
    assert actual.kept[2] == 0
