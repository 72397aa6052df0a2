"""Transformer: a small byte-level one of ordinary modules, cut into pipeline stages."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..amounts import at_least
from .text import BYTES


class Embedding(nn.Module):
    """Bytes to vectors for what each is and where: int64 [batch, sequence] -> [batch, sequence, width].

    A sequence may be shorter than `sequence_length`; a longer one raises a ValueError.

    Examples
    --------
    >>> Embedding(width=32, sequence_length=16)(torch.zeros(2, 16, dtype=torch.int64)).shape
    torch.Size([2, 16, 32])
    """

    def __init__(self, width: int, sequence_length: int) -> None:
        super().__init__()
        self.token = nn.Embedding(BYTES, at_least(1, width, "width"))
        self.position = nn.Embedding(at_least(1, sequence_length, "sequence_length"), self.token.embedding_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        length, most = tokens.shape[-1], self.position.num_embeddings
        if length > most:
            raise ValueError(f"the model was made for sequences of at most {most} bytes; got {length}")
        return self.token(tokens) + self.position.weight[:length]


class Attention(nn.Module):
    """Causal self-attention on the normalised stream, added to it: [batch, sequence, width].

    Examples
    --------
    >>> Attention(width=32, heads=4)(torch.zeros(2, 16, 32)).shape
    torch.Size([2, 16, 32])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        width, self.heads = at_least(1, width, "width"), at_least(1, heads, "heads")
        self.attention_norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.attention_out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.attention_out(self._attend(self.attention_norm(x)))

    def _attend(self, x: Tensor) -> Tensor:
        # [batch, sequence, 3 * width] -> three of [batch, heads, sequence, width / heads]
        split = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))
        query, key, value = split.permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(-2)


class Block(Attention):
    """Causal self-attention, then an MLP, each on the normalised stream and added to it: [batch, sequence, width].

    Examples
    --------
    >>> Block(width=32, heads=4)(torch.zeros(2, 16, 32)).shape
    torch.Size([2, 16, 32])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__(width, heads)
        width = at_least(1, width, "width")
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        x = super().forward(x)
        return x + self.mlp_out(F.gelu(self.mlp_in(self.mlp_norm(x))))


class Head(nn.Module):
    """Vectors to a score per next byte: [batch, sequence, width] -> logits [batch, sequence, 256].

    Examples
    --------
    >>> Head(width=32)(torch.zeros(2, 16, 32)).shape
    torch.Size([2, 16, 256])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        width = at_least(1, width, "width")
        self.norm = nn.LayerNorm(width)
        self.score = nn.Linear(width, BYTES)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.norm(x))


def transformer_stages(
    num_stages: int,
    *,
    layers: int | None = None,
    width: int = 64,
    heads: int = 4,
    sequence_length: int = 64,
    split: Sequence[int] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> list[nn.Module]:
    """A byte-level transformer cut into `num_stages` stages that, applied in turn, are the whole model.

    The first stage takes int64 tokens [batch, sequence], the last returns logits [batch, sequence, 256], and between
    stages travels [batch, sequence, width]. Parameters have the same names in every split. Sizes that do not fit
    together, and a split that leaves a stage empty, raise a ValueError that says what would be right.

    Parameters
    ----------
    num_stages : int
        At most two more than layers, as the embedding and the head can be stages of their own.
    layers : int, optional
        The number of blocks. Default: one per stage.
    width, heads : int
        The width is a multiple of heads. Take 32 where many ranks share few cores, as in runs paced at 10 ms.
    sequence_length : int
        The longest sequence.
    split : sequence of int, optional
        Blocks per stage, as [1, 2, 2, 1]; the embedding goes with the first stage and the head with the last.
        Default: even; blocks left over go to the middle first.
    seed : int
        The weights depend on it alone, not on split, dtype or torch's global state.
    dtype : torch.dtype
        A floating-point type.

    Examples
    --------
    >>> stages = transformer_stages(4, layers=6, width=32)
    >>> [list(dict(stage.named_children())) for stage in stages[:2]]
    [['embedding', 'block0'], ['block1', 'block2']]
    >>> tokens = torch.zeros(2, 64, dtype=torch.int64)
    >>> nn.Sequential(*stages)(tokens).shape
    torch.Size([2, 64, 256])
    """
    num_stages = at_least(1, num_stages, "num_stages")
    counts = _blocks_per_stage(num_stages, layers, split)
    width, heads = at_least(1, width, "width"), at_least(1, heads, "heads")
    sequence_length = at_least(1, sequence_length, "sequence_length")
    if width % heads:
        raise ValueError(
            f"width must be a multiple of heads, as {(width // heads + 1) * heads} is of {heads}; got {width}"
        )
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point type, such as torch.float32; got {dtype}")
    pieces = _model(sum(counts), width, heads, sequence_length, seed)
    stages: list[nn.Module] = []
    for stage, count in enumerate(counts):
        take = count + (stage == 0) + (stage == num_stages - 1)
        stages.append(nn.Sequential(OrderedDict(pieces[:take])).to(dtype))
        pieces = pieces[take:]
    return stages


def loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross entropy in nats.

    Parameters
    ----------
    logits : tensor [batch, sequence, 256]
        A score for each possible next byte.
    targets : int64 tensor [batch, sequence]
        The next bytes.

    Examples
    --------
    >>> round(loss(torch.zeros(2, 16, 256), torch.zeros(2, 16, dtype=torch.int64)).item(), 3)  # ln 256
    5.545
    """
    return F.cross_entropy(logits.flatten(0, -2), targets.flatten())


def _blocks_per_stage(num_stages: int, layers: int | None, split: Sequence[int] | None) -> list[int]:
    """The given split, checked, or an even one."""
    if split is None:
        return _even(num_stages, num_stages if layers is None else at_least(0, layers, "layers"))
    counts = [at_least(0, count, "each number of blocks in split") for count in split]
    if len(counts) != num_stages:
        raise ValueError(f"split must have {num_stages} numbers of blocks, one per stage; got {len(counts)}: {counts}")
    if layers is not None and sum(counts) != layers:
        raise ValueError(f"split must add up to layers={layers}; got {counts}, which adds up to {sum(counts)}")
    if 0 in counts[1:-1]:
        empty = counts.index(0, 1)
        raise ValueError(f"split must give each stage but first and last a block; got {counts}: stage {empty} is empty")
    return counts


def _even(num_stages: int, layers: int) -> list[int]:
    if num_stages > layers + 2:
        raise ValueError(
            f"{num_stages} stages need at least {num_stages - 2} layers, "
            f"as the embedding and the head can be stages of their own; got {layers}"
        )
    # The ends have the embedding and the head, so blocks left over go to the middle first.
    order = [*range(1, num_stages - 1), 0, num_stages - 1]
    counts = [layers // num_stages] * num_stages
    for stage in order[: layers % num_stages]:
        counts[stage] += 1
    return counts


def _model(layers: int, width: int, heads: int, sequence_length: int, seed: int) -> list[tuple[str, nn.Module]]:
    """The whole model as named pieces, whose weights depend on `seed` alone."""
    with torch.random.fork_rng(devices=[]):  # modules draw weights when made; those drawn here are replaced below
        pieces: list[tuple[str, nn.Module]] = [("embedding", Embedding(width, sequence_length))]
        pieces += [(f"block{layer}", Block(width, heads)) for layer in range(layers)]
        pieces += [("head", Head(width))]
    generator = torch.Generator().manual_seed(seed)
    for _, piece in pieces:
        initialise(piece, generator)
    return pieces


def initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Normal weights at a scale with which a small model learns within ten steps; biases of zero."""
    for each in module.modules():
        if isinstance(each, nn.Linear):
            nn.init.normal_(each.weight, std=0.5 * each.in_features**-0.5, generator=generator)
            if each.bias is not None:
                nn.init.zeros_(each.bias)
        elif isinstance(each, nn.Embedding):
            nn.init.normal_(each.weight, std=0.3, generator=generator)
