"""Split backward: I and W give what one whole backward gives, each product once, and keep no more than they need."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

from pipelab.autograd.graph import CUSTOM, HOOKED, KERNEL, REENTRANT, SHARED
from pipelab.autograd.saved_tensors import ActivationBytes, Kept
from pipelab.autograd.split_backward import SplitBackward
from pipelab.models import transformer_stages

WIDTH = 16
TOLERANCE = 1e-10  # relative, in float64
ROW = 2 * 3 * WIDTH * 8  # bytes of one activation [2, 3, WIDTH] in float64


class Attention(nn.Module):
    """scaled_dot_product_attention between projections, as everybody writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.projections = nn.Linear(WIDTH, 3 * WIDTH)
        self.out = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.projections(x).unflatten(-1, (3, 4, -1)).permute(2, 0, 3, 1, 4)
        return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(-2))


class MultiHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x)[0]


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.layer = kind(WIDTH, WIDTH, num_layers=2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class Raw(nn.Module):
    """Parameters used without any module: twice, sliced, scaled, added."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.scale = nn.Parameter(torch.randn(2, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.scale
        return torch.addmm(second, torch.tanh(x @ self.w).flatten(0, -2) * first, self.w, beta=0.5, alpha=3)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.norm(torch.tanh(self.linear(self.norm(x)))))


class Tied(nn.Module):
    """Embedding and head share their weight; the input is token ids."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.linear = nn.Embedding(10, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, tokens: Tensor) -> Tensor:
        return torch.tanh(self.linear(self.embedding(tokens))) @ self.embedding.weight.T


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(x)
        h[:, :1].mul_(2)
        h.add_(1).relu_()
        return self.two(h)


class Structured(nn.Module):
    """What flows inside is dicts, lists, numbers and several outputs of one operation."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        parts = {"halves": [*self.up(x).chunk(2, -1)], "count": 2}
        value, gate = parts["halves"]
        return x + self.down(value * torch.sigmoid(gate)) / parts["count"]


class Generated(nn.Module):
    """Weights that are computed from another parameter, and used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.seed, self.generator = nn.Parameter(torch.randn(4)), nn.Linear(4, WIDTH * WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        w = torch.tanh(self.generator(self.seed)).view(WIDTH, WIDTH)
        return torch.relu(x @ w) @ w.T + w[0]


class PartlyFrozen(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(WIDTH, WIDTH) for _ in range(3)))
        self.layers[0].requires_grad_(False)
        self.layers[2].requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Product(torch.autograd.Function):
    """A linear layer as people write one by hand."""

    calls = 0

    @staticmethod
    def forward(ctx, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return x @ w

    @staticmethod
    def backward(ctx, dy: Tensor) -> tuple[Tensor, Tensor]:
        Product.calls += 1
        x, w = ctx.saved_tensors
        return dy @ w.T, x.flatten(0, -2).T @ dy.flatten(0, -2)


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.linear = nn.Parameter(torch.randn(WIDTH, WIDTH)), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(torch.tanh(Product.apply(x, self.w)))


class Checkpointed(nn.Module):
    def __init__(self, reentrant: bool) -> None:
        super().__init__()
        self.reentrant = reentrant
        self.inner = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH))
        self.outer = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return checkpoint(self.inner, self.outer(x), use_reentrant=self.reentrant)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(), nn.Dropout(0.3), nn.Linear(WIDTH, WIDTH, bias=False))


def blocks(which: int) -> nn.Module:
    return transformer_stages(3, layers=4, width=WIDTH, sequence_length=8)[which]


def weight_norm() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, WIDTH))


# Stage -> does it leave all its parameters' gradients to W?
STAGES: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "linear": (lambda: nn.Linear(WIDTH, WIDTH), True),
    "layer norm": (lambda: nn.LayerNorm(WIDTH), True),
    "mlp with dropout": (mlp, True),
    "attention": (Attention, True),
    "multi-head attention": (MultiHead, True),
    "encoder layer": (lambda: nn.TransformerEncoderLayer(WIDTH, 4, 32, batch_first=True), True),
    "transformer blocks": (lambda: blocks(1), True),
    "head": (lambda: blocks(2), True),
    "convolution": (lambda: nn.Sequential(nn.Conv1d(3, 3, 3, padding=1), nn.BatchNorm1d(3)), True),
    "weight norm": (weight_norm, True),
    "raw parameters": (Raw, False),
    "used twice": (Twice, False),
    "in place": (InPlace, True),
    "structured": (Structured, True),
    "generated weights": (Generated, False),
    "partly frozen": (PartlyFrozen, True),
    "rnn": (lambda: Recurrent(nn.RNN), True),
    "lstm": (lambda: Recurrent(nn.LSTM), True),
    "gru": (lambda: Recurrent(nn.GRU), False),
    "prelu": (lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.PReLU()), False),
    "custom function": (Custom, False),
    "checkpointed": (lambda: Checkpointed(False), False),
    "reentrant checkpoint": (lambda: Checkpointed(True), False),
    "no parameters": (nn.Tanh, True),
    "identity": (nn.Identity, True),
    "frozen": (lambda: nn.Linear(WIDTH, WIDTH).requires_grad_(False), True),
}
TOKEN_STAGES: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "embedding": (lambda: nn.Embedding(10, WIDTH), True),
    "embedding and blocks": (lambda: blocks(0), True),
    "tied": (Tied, True),
    "frozen embedding": (lambda: nn.Embedding(10, WIDTH).requires_grad_(False), True),
}
Gradients = dict[str, Tensor | None]  # of parameters, by name
vectors = torch.randn(2, 3, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
tokens = torch.randint(10, (2, 3), generator=torch.Generator().manual_seed(3))


@dataclass
class Split:
    """What a split backward showed."""

    split: SplitBackward
    flops: tuple[int, int]  # of I and W
    kept: tuple[int, int, int]  # bytes: after F, I and W
    counter: ActivationBytes
    after_input: Gradients  # parameters' gradients after I
    gradients: Gradients
    received: Tensor | None


def _input(x: Tensor) -> Tensor:
    return x.clone().requires_grad_(x.is_floating_point())


def _forward(stage: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(4)
    return stage(x)


def _dy(output: Tensor) -> Tensor:
    return torch.randn(output.shape, dtype=output.dtype, generator=torch.Generator().manual_seed(5))


def _gradients(stage: nn.Module) -> Gradients:
    return {name: None if p.grad is None else p.grad.clone() for name, p in stage.named_parameters()}


@contextmanager
def flops():
    found: list[int] = []
    with FlopCounterMode(display=False) as counter:
        yield found
    found.append(counter.get_total_flops())


def whole(make: Callable[[], nn.Module], x: Tensor, times: int = 1) -> tuple[int, Gradients, Tensor | None]:
    """(FLOPs, parameters' gradients, input's gradient) of plain backwards: the oracle."""
    torch.manual_seed(0)
    stage = make().double()
    for _ in range(times):
        received = _input(x)
        output = _forward(stage, received)
        with flops() as counted:
            if output.requires_grad:
                output.backward(_dy(output))
    return counted[0], _gradients(stage), received.grad


def split(make: Callable[[], nn.Module], x: Tensor, times: int = 1) -> Split:
    torch.manual_seed(0)
    stage = make().double()
    for _ in range(times):
        received = _input(x)
        counter = ActivationBytes([*stage.parameters()])
        halves = SplitBackward(counter)
        with halves.keeping():
            output = _forward(stage, received)
        kept = [counter.now]
        with flops() as of_input:
            halves.input_gradient(output, _dy(output), received)
        del output
        kept.append(counter.now)
        after_input = _gradients(stage)
        with flops() as of_weights:
            halves.weight_gradients()
        kept.append(counter.now)
    counted = (of_input[0], of_weights[0])
    return Split(halves, counted, tuple(kept), counter, after_input, _gradients(stage), received.grad)


def same(actual: Tensor | None, wanted: Tensor | None) -> bool:
    if actual is None or wanted is None:
        return actual is wanted
    return bool((actual - wanted).abs().max() <= TOLERANCE * max(1e-3, float(wanted.abs().max())))


ALL = [(name, make, vectors, deferred) for name, (make, deferred) in STAGES.items()] + [
    (name, make, tokens, deferred) for name, (make, deferred) in TOKEN_STAGES.items()
]


@pytest.mark.parametrize("times", [1, 3], ids=["once", "summed"])
@pytest.mark.parametrize(("make", "x", "deferred"), [each[1:] for each in ALL], ids=[each[0] for each in ALL])
def test_both_halves_together_are_the_whole(make, x: Tensor, deferred: bool, times: int) -> None:
    """The same gradients as autograd's and the same FLOPs; all parameters' gradients at W unless told otherwise."""
    expected_flops, expected, expected_input = whole(make, x, times)
    actual = split(make, x, times)
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
        ("used twice", {"norm.weight": SHARED, "norm.bias": SHARED}),
        ("checkpointed", dict.fromkeys(["inner.0.weight", "inner.0.bias", "inner.2.weight", "inner.2.bias"], HOOKED)),
        ("reentrant checkpoint", dict.fromkeys(["outer.weight", "outer.bias"], REENTRANT)),
    ],
)
def test_what_can_not_wait_is_told(name: str, reasons: dict[str, str]) -> None:
    torch.manual_seed(0)
    stage = STAGES[name][0]()
    received, halves = _input(vectors.float()), SplitBackward()
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


def test_a_loss_is_split_too() -> None:
    """The last stage: backward begins at one number, without a gradient from outside."""
    stage, received, halves = nn.Linear(WIDTH, WIDTH).double(), _input(vectors), SplitBackward()
    with halves.keeping():
        loss = (stage(received) ** 2).mean()
    expected = torch.autograd.grad((stage(received) ** 2).mean(), [received, *stage.parameters()])
    halves.input_gradient(loss, None, received)
    assert stage.weight.grad is None
    halves.weight_gradients()
    found = [received.grad, stage.weight.grad, stage.bias.grad]
    assert all(same(actual, wanted) for actual, wanted in zip(found, expected, strict=True))


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

    def test_freed_tensors_are_really_gone(self) -> None:
        """Not only from the count: nobody holds their storage any more."""
        stage = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Sigmoid()).double()
        storages: list[StorageWeakRef] = []
        for layer in stage:
            layer.register_forward_hook(lambda *args: storages.append(StorageWeakRef(args[2].untyped_storage())))
        received, halves = _input(vectors), SplitBackward()
        with halves.keeping():
            output = stage(received)
        gone = [[storage.expired() for storage in storages]]
        halves.input_gradient(output, _dy(output), received)
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
        received, halves, seen = _input(vectors), SplitBackward(counter), []
        with halves.keeping():
            output = stage(received)
        halves.input_gradient(output, _dy(output), received)
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


class TestHooks:
    """Hooks that a user has put on tensors and parameters act as they do in a whole backward."""

    def test_on_parameters_and_activations(self) -> None:
        class Hooked(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.linear, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
                self.linear.weight.register_hook(lambda gradient: gradient * 3)
                self.norm.weight.register_hook(lambda gradient: gradient * 5)

            def forward(self, x: Tensor) -> Tensor:
                normed = self.norm(x)
                normed.register_hook(lambda gradient: gradient * 2)
                out = self.linear(normed)
                out.register_hook(lambda gradient: gradient * 7)
                return out.tanh()

        _, expected, expected_input = whole(Hooked, vectors)
        actual = split(Hooked, vectors)
        assert all(same(actual.gradients[name], wanted) for name, wanted in expected.items())
        assert same(actual.received, expected_input)

    def test_after_accumulation(self) -> None:
        calls = []

        def make() -> nn.Module:
            stage = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH))
            for p in stage.parameters():
                p.register_post_accumulate_grad_hook(lambda p: calls.append(p.shape))
            return stage

        whole(make, vectors)
        expected, calls[:] = sorted(calls), []
        split(make, vectors)
        assert sorted(calls) == expected
        assert len(calls) == 4


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
            output = self.Spoilt()(_input(vectors))
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            output.sum().backward()

    def test_of_x_between_i_and_w(self) -> None:
        stage, received, halves = nn.Linear(WIDTH, WIDTH).double(), _input(vectors), SplitBackward()
        with halves.keeping():
            output = stage(received)
        halves.input_gradient(output, _dy(output), received)
        received.data.zero_()  # behind autograd's back: nobody can notice
        received.detach().zero_()
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            halves.weight_gradients()


class Program(nn.Module):
    """A random stage: a list of operations on values so far, over few parameters, so that many are shared."""

    def __init__(self, steps: list[tuple[str, int, int, int]]) -> None:
        super().__init__()
        self.steps = steps
        self.linears = nn.ModuleList(nn.Linear(4, 4, bias=i > 0) for i in range(3))
        self.norms = nn.ModuleList(nn.LayerNorm(4) for _ in range(2))
        self.raw = nn.ParameterList(nn.Parameter(torch.randn(4, 4)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        values = [x]
        for kind, a, b, which in self.steps:
            u, v = values[a % len(values)], values[b % len(values)]
            match kind:
                case "linear":
                    made = self.linears[which % 3](u)
                case "norm":
                    made = self.norms[which % 2](u)
                case "matmul":
                    made = u @ self.raw[which % 2]
                case "derived":
                    made = torch.tanh(u @ (self.raw[which % 2].T * 2) + v)
                case "scale":
                    made = u * self.raw[which % 2][0] + v * self.linears[1].bias
                case "attend":
                    made = F.scaled_dot_product_attention(u, v, u)
                case "custom":
                    made = Product.apply(u, self.raw[which % 2])
                case _:
                    made = torch.sigmoid(u) * v
            values.append(made)
        return x * 0 + sum(values[1:]) if len(values) > 1 else x * 1


KINDS = ["linear", "norm", "matmul", "derived", "scale", "attend", "custom", "mix"]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
        max_size=8,
    )
)
def test_random_stages(steps) -> None:
    x = vectors[..., :4].contiguous()
    expected_flops, expected, expected_input = whole(lambda: Program(steps), x)
    actual = split(lambda: Program(steps), x)
    assert [name for name, wanted in expected.items() if not same(actual.gradients[name], wanted)] == []
    assert same(actual.received, expected_input)
    assert sum(actual.flops) == expected_flops
    assert actual.kept[2] == 0
