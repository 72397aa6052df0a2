"""Router: which experts each token goes to, with what weight; and what keeps their loads even."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..ir import at_least


class Routing(NamedTuple):
    """Where tokens go.

    experts  int64 [tokens, top_k], the highest score first; no expert twice for a token
    weights  [tokens, top_k] of the experts' outputs; each token's sum is the router's `scale`
    scores   [tokens, experts], each token's summing to 1: what an auxiliary loss holds against the loads
    """

    experts: Tensor
    weights: Tensor
    scores: Tensor


class Router(nn.Module):
    """Scores every expert for every token, [tokens, width] -> Routing, and picks the top k.

    score            "softmax" over the experts, or "sigmoid" of each
    balance          None; "auxiliary": a loss that grows with uneven loads (Switch, arXiv 2101.03961), `strength` its
                     factor; "bias": no loss, but a bias per expert that counts for the choice only, not for the weight,
                     and that `update_bias` moves by `strength` against its load (DeepSeek-V3, arXiv 2412.19437)
    nodes            in which the experts stand, in equal consecutive blocks
    nodes_per_token  at most so many of them get a token: those with the highest sums of their top_k / nodes_per_token
                     best scores (DeepSeek-V3's node-limited routing). None: no limit.
    scale            factor of all weights

    ValueError for numbers that don't fit each other, and for scores that are not finite.

    >>> router = Router(width=4, num_experts=8, top_k=2)
    >>> router(torch.zeros(3, 4)).experts.shape
    torch.Size([3, 2])
    """

    bias: Tensor

    def __init__(
        self,
        width: int,
        num_experts: int,
        top_k: int,
        *,
        score: Literal["softmax", "sigmoid"] = "softmax",
        balance: Literal["auxiliary", "bias"] | None = None,
        strength: float = 1e-3,
        nodes: int = 1,
        nodes_per_token: int | None = None,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        at_least(1, width, "width")
        self.num_experts, self.top_k = at_least(1, num_experts, "num_experts"), at_least(1, top_k, "top_k")
        if top_k > num_experts:
            raise ValueError(f"top_k must be at most the number of experts, {num_experts}; got {top_k}")
        if score not in ("softmax", "sigmoid"):
            raise ValueError(f"score must be 'softmax' or 'sigmoid'; got {score!r}")
        if balance not in (None, "auxiliary", "bias"):
            raise ValueError(f"balance must be 'auxiliary', 'bias' or None; got {balance!r}")
        if num_experts % at_least(1, nodes, "nodes"):
            raise ValueError(f"nodes must divide the number of experts, {num_experts}; got {nodes}")
        if nodes_per_token is not None:
            at_least(1, nodes_per_token, "nodes_per_token")
            reached = min(nodes_per_token, nodes) * (num_experts // nodes)
            if nodes_per_token > nodes or top_k % nodes_per_token or reached < top_k:
                raise ValueError(
                    f"nodes_per_token must be at most the number of nodes, {nodes}, divide top_k, {top_k}, and reach "
                    f"that many experts; {nodes_per_token} of {nodes} nodes hold {reached}"
                )
        self.score, self.balance, self.strength, self.scale = score, balance, strength, scale
        self.nodes, self.nodes_per_token = nodes, nodes_per_token
        self.linear = nn.Linear(width, num_experts, bias=False)
        self.register_buffer("bias", torch.zeros(num_experts))

    def forward(self, tokens: Tensor) -> Routing:
        logits = self.linear(tokens)
        if not torch.isfinite(logits).all():
            bad = int((~torch.isfinite(logits)).any(-1).sum())
            raise ValueError(
                f"the router's scores of {bad} of {len(logits)} tokens are not finite: training has diverged, or its "
                "input has"
            )
        scores = logits.softmax(-1) if self.score == "softmax" else logits.sigmoid()
        with torch.no_grad():
            chosen = self._choose(scores + self.bias if self.balance == "bias" else scores)
        weights = scores.gather(-1, chosen)
        # Of the chosen ones alone. All sigmoids may be 0 in a short float: then so are the weights, and not NaN.
        least = torch.finfo(weights.dtype).tiny
        weights = self.scale * weights / weights.sum(-1, keepdim=True).clamp_min(least)
        return Routing(chosen, weights, F.normalize(scores, p=1, dim=-1, eps=least))

    def _choose(self, scores: Tensor) -> Tensor:
        if self.nodes_per_token is not None:
            by_node = scores.unflatten(-1, (self.nodes, -1))
            best = by_node.topk(min(self.top_k // self.nodes_per_token, by_node.shape[-1]), -1).values.sum(-1)
            allowed = torch.zeros_like(best, dtype=torch.bool)
            allowed.scatter_(-1, best.topk(self.nodes_per_token, -1).indices, True)
            scores = by_node.masked_fill(~allowed.unsqueeze(-1), float("-inf")).flatten(-2)
        return scores.topk(self.top_k, -1).indices

    def with_auxiliary_loss(self, routing: Routing, loads: Tensor, tokens: int) -> Tensor:
        """The weights, unchanged; but their backward adds the gradient of the auxiliary loss, wherever it starts.

            strength · experts · sum over experts e of f_e · p_e

        f_e  the share of all choices that fell on e;  p_e  mean score of e

        loads   int64 [experts], how often each was chosen, by `tokens` tokens on all ranks together. A rank adds the
                part of its own tokens: the parts sum to what one process with all tokens would add.
        """
        share = loads.to(routing.scores) / (tokens * self.top_k)
        loss = self.strength * self.num_experts * (share * routing.scores.sum(0) / tokens).sum()
        return _WithLoss.apply(routing.weights, loss)

    @torch.no_grad()
    def update_bias(self, loads: Tensor, group: dist.ProcessGroup | None = None) -> None:
        """After a step: a little less for experts that were chosen more often than the mean, a little more for others.

        loads   [experts], how often each was chosen in the step; summed over the group, so that all routers stay equal
        """
        if self.balance != "bias":
            raise ValueError(f"only a router with balance='bias' has a bias to update; this one's is {self.balance!r}")
        loads = loads.to(self.bias, copy=True)
        if group is not None:
            dist.all_reduce(loads, group=group)
        self.bias += self.strength * (loads.mean() - loads).sign()


class _WithLoss(torch.autograd.Function):
    """A tensor as it is, and a loss of which nothing else is made: its gradient is 1."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, loss: Tensor) -> Tensor:
        ctx.like = loss.new_ones(())
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return gradient, ctx.like
