"""The dense computation of a Mixture of Experts, straight from its definition: token by token, expert by expert."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pipelab.moe import ExpertGroup, MoE, sum_replicated_gradients

WIDTH, HIDDEN = 6, 10


def layer_of(group: ExpertGroup | None, **settings: Any) -> MoE:
    """A small layer in float64. favour: experts that get all tokens, through the router's bias."""
    favour = settings.pop("favour", ())
    if favour:
        settings = {"balance": "bias", **settings}
    layer = MoE(WIDTH, HIDDEN, group=group, seed=3, **settings).double()
    layer.router.bias[list(favour)] = 100
    return layer


def inputs_of(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """(tokens, what their outputs are multiplied with to give a loss), both [rows, width]."""
    generator = torch.Generator().manual_seed(seed)
    tokens, factors = torch.randn(2, rows, WIDTH, generator=generator, dtype=torch.float64)
    return tokens, factors


def dense(layer: MoE, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """(output, auxiliary loss) of a layer that holds all its experts, for tokens [tokens, width]."""
    routing = layer.router(tokens)
    rows = []
    for t, token in enumerate(tokens):
        row = layer.shared(token[None])[0] if layer.shared is not None else torch.zeros_like(token)
        for weight, expert in zip(routing.weights[t], routing.experts[t].tolist(), strict=True):
            row = row + weight * layer.experts[str(expert)](token[None])[0]
        rows.append(row)
    loads = routing.experts.flatten().bincount(minlength=layer.router.num_experts)
    auxiliary = layer.router.strength * len(loads) * (loads.double() / loads.sum() * routing.scores.mean(0)).sum()
    return torch.stack(rows), auxiliary if layer.router.balance == "auxiliary" else auxiliary.detach()


def gradients(layer: MoE) -> dict[str, Tensor]:
    """By parameter. No gradient is a zero one."""
    return {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.clone()
        for name, parameter in layer.named_parameters()
    }


def by_definition(rows: int, settings: dict[str, Any]) -> dict[str, Tensor]:
    """Output, the input's gradient and all parameters' gradients, in one process."""
    layer = layer_of(None, **settings)
    tokens, factors = inputs_of(rows)
    tokens.requires_grad_()
    output, auxiliary = dense(layer, tokens)
    ((output * factors).sum() + auxiliary).backward()
    assert tokens.grad is not None
    return {"output": output.detach(), "input": tokens.grad, **gradients(layer)}


def on_this_rank(group: ExpertGroup | None, shares: list[int], settings: dict[str, Any]) -> dict[str, Tensor]:
    """The same on a rank, which comes with its share of the tokens."""
    layer = layer_of(group, **settings)
    rank = group.rank if group else 0
    tokens, factors = (whole.split(shares)[rank] for whole in inputs_of(sum(shares)))
    tokens = tokens.clone().requires_grad_()
    output = layer(tokens)
    (output * factors).sum().backward()
    sum_replicated_gradients(layer, group)
    assert tokens.grad is not None
    return {"output": output.detach(), "input": tokens.grad, **gradients(layer)}


def joined(ranks: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """All ranks' results as one process's: rows one after the other, every expert from the rank that has it."""
    rows = {name: torch.cat([rank[name] for rank in ranks]) for name in ("output", "input")}
    return {name: tensor for rank in ranks for name, tensor in rank.items()} | rows


def difference(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    """The largest, relative to the largest value of the same tensor (or to 1)."""
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max() / b[name].abs().max().clamp_min(1)) for name in b)
