"""Stages of all kinds, whose backwards are to be split, and what goes into them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from pipelab.models import transformer_stages

WIDTH = 16
vectors = torch.randn(2, 3, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
tokens = torch.randint(10, (2, 3), generator=torch.Generator().manual_seed(3))


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


class RowBiases(nn.Module):
    """A bias for each row, twice: one gradient arrives at both layers, which their biases must not share."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(WIDTH, WIDTH)), nn.Parameter(torch.randn(WIDTH, WIDTH))
        self.a, self.b = nn.Parameter(torch.randn(6, WIDTH)), nn.Parameter(torch.randn(6, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.flatten(0, -2)
        return torch.addmm(self.a, rows, self.w) + torch.addmm(self.b, rows, self.v)


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
    "row biases": (RowBiases, True),
    "used twice": (Twice, True),
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
ALL = [(name, make, vectors, deferred) for name, (make, deferred) in STAGES.items()] + [
    (name, make, tokens, deferred) for name, (make, deferred) in TOKEN_STAGES.items()
]


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
