"""Router: which experts each token goes to, with what weight; and what keeps their loads even."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..amounts import at_least
from ..overlap.expert_group import ExpertGroup


class Routing(NamedTuple):
    """Where tokens go.

    Attributes
    ----------
    experts : int64 tensor [tokens, top_k]
        The experts of each token, the highest score first; none twice for a token.
    weights : tensor [tokens, top_k]
        Of these experts' outputs. A token's weights sum to the router's `scale`.
    scores : tensor [tokens, experts]
        A token's scores sum to 1. An auxiliary loss multiplies them with the loads.

    Examples
    --------
    >>> routing = Router(width=4, num_experts=8, top_k=2)(torch.zeros(3, 4))
    >>> routing.weights.sum(-1).tolist()
    [1.0, 1.0, 1.0]
    """

    experts: Tensor
    weights: Tensor
    scores: Tensor


class Router(nn.Module):
    """Scores every expert for every token, [tokens, width] -> Routing, and picks the top k.

    Settings that do not fit together, and in `forward` scores that are not finite, raise a ValueError.

    Parameters
    ----------
    width, num_experts, top_k : int
        The tokens' width, the experts to choose from, and how many each token gets.
    score : {"softmax", "sigmoid"}
        Softmax over the experts, or the sigmoid of each.
    balance : {None, "auxiliary", "bias"}
        "auxiliary": a loss, times `strength`, that grows with uneven loads (Switch). "bias": no loss, but a bias per
        expert that counts for the choice, not for the weight; `update_bias` moves it by `strength` (DeepSeek-V3).
    nodes : int
        The experts stand on them in equal consecutive blocks.
    nodes_per_token : int, optional
        A token goes to at most so many nodes: those with the highest sums of their top_k / nodes_per_token best scores
        (DeepSeek-V3's node-limited routing). Default: no limit.
    scale : float
        Factor of all weights.

    References
    ----------
    Switch Transformers (arXiv 2101.03961), equation 4 · DeepSeek-V3 (arXiv 2412.19437), section 2.1.2

    Examples
    --------
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
        width, nodes = at_least(1, width, "width"), at_least(1, nodes, "nodes")
        num_experts, top_k = at_least(1, num_experts, "num_experts"), at_least(1, top_k, "top_k")
        if top_k > num_experts:
            raise ValueError(f"top_k must be at most the number of experts, {num_experts}; got {top_k}")
        if score not in ("softmax", "sigmoid"):
            raise ValueError(f"score must be 'softmax' or 'sigmoid'; got {score!r}")
        if balance not in (None, "auxiliary", "bias"):
            raise ValueError(f"balance must be 'auxiliary', 'bias' or None; got {balance!r}")
        if num_experts % nodes:
            raise ValueError(f"nodes must divide the number of experts, {num_experts}; got {nodes}")
        if nodes_per_token is not None:
            nodes_per_token = at_least(1, nodes_per_token, "nodes_per_token")
            reached = min(nodes_per_token, nodes) * (num_experts // nodes)
            if nodes_per_token > nodes or top_k % nodes_per_token or reached < top_k:
                raise ValueError(
                    f"nodes_per_token must be at most the number of nodes, {nodes}, divide top_k, {top_k}, and reach "
                    f"that many experts; {nodes_per_token} of {nodes} nodes hold {reached}"
                )
        self.score, self.balance, self.strength, self.scale = score, balance, strength, scale
        self.num_experts, self.top_k = num_experts, top_k
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
        # Of the chosen ones alone. In a short float all sigmoids may be 0; the weights are then 0, and not NaN.
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

        The loss is strength · experts · sum of f_e · p_e over all experts e, where f_e is the share of all choices that
        fell on e, and p_e its mean score. `loads`, int64 [experts], is how often `tokens` tokens on all ranks together
        chose each expert. A rank adds its own tokens' part; the parts sum to what one process would add.
        """
        share = loads.to(routing.scores) / (tokens * self.top_k)
        loss = self.strength * self.num_experts * (share * routing.scores.sum(0) / tokens).sum()
        return _WithLoss.apply(routing.weights, loss)

    @torch.no_grad()
    def update_bias(self, loads: Tensor, *, group: ExpertGroup | None = None) -> None:
        """After a step, lower the bias of experts that were chosen more often than the mean, and raise the others'.

        `loads`, [experts], is how often each was chosen in the step. Over a group they are summed first, so that all
        routers stay equal.
        """
        if self.balance != "bias":
            raise ValueError(f"only a router with balance='bias' has a bias to update; this one's is {self.balance!r}")
        loads = loads.to(self.bias, copy=True)
        if group is not None:
            dist.all_reduce(loads, group=group.data)
        self.bias += self.strength * (loads.mean() - loads).sign()


class _WithLoss(torch.autograd.Function):
    """The tensor as it is; the loss, which is not used otherwise, gets the gradient 1."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, loss: Tensor) -> Tensor:
        ctx.like = loss.new_ones(())
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        return gradient, ctx.like
