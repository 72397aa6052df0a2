"""Layer: a Mixture-of-Experts MLP whose experts are spread over ranks, and a transformer block with one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..amounts import at_least
from ..models.transformer import Attention, initialise
from ..overlap.expert_group import ExpertGroup
from ..overlap.segmented import Exchange, Segmented, Segments, carrying
from ..runtime.copies import sum_replicated_gradients as sum_replicated_gradients  # belongs to this room's names
from .dispatch import dispatch_plan
from .router import Router

_Module = TypeVar("_Module", bound=nn.Module)


class Expert(nn.Module):
    """An MLP: [rows, width] -> [rows, width].

    Examples
    --------
    >>> Expert(width=8, hidden=16)(torch.zeros(5, 8)).shape
    torch.Size([5, 8])
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        width, hidden = at_least(1, width, "width"), at_least(1, hidden, "hidden")
        self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, rows: Tensor) -> Tensor:
        return self.out(F.gelu(self.into(rows)))


def seeded_expert(width: int, hidden: int, seed: int, number: int) -> Expert:
    """The expert that has this number in every MoE of these sizes and this seed."""
    return _seeded(seed, 2 + number, Expert, width, hidden)


def _seeded(seed: int, number: int, kind: type[_Module], *arguments: Any, **settings: Any) -> _Module:
    """A module whose weights depend on (seed, number) alone; torch's global state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        module = kind(*arguments, **settings)
    initialise(module, torch.Generator().manual_seed((seed * 1_000_003 + number) % 2**63))
    return module


class MoE(Segmented):
    """Every token through its top-k experts and, if there is one, the shared expert: [..., width] -> the same shape.

    The experts stand in equal consecutive blocks on the ranks of `group`; router and shared expert are on every rank.
    The segments and exchanges are route · *dispatch* · experts · *combine* · weighted sum. Each rank comes with any
    number of tokens of its own, even none. The gradients of a rank's experts are of all ranks' tokens; those of router
    and shared expert are of its own tokens, and are to be summed over the group (`sum_replicated_gradients`).

    Parameters
    ----------
    width, num_experts, top_k : int
        As in :class:`Router`.
    hidden, shared_hidden : int
        The width inside each expert, and inside the shared one; 0: there is no shared expert.
    group : ExpertGroup, optional
        Default: all experts are here, until `spread`.
    seed : int
        The weights depend on it alone, not on the group.
    **router
        Settings of :class:`Router`, such as score="sigmoid".

    Attributes
    ----------
    loads : int64 tensor [experts]
        How often all ranks together have chosen each expert since `end_step`.

    Examples
    --------
    >>> MoE(width=8, hidden=16, num_experts=4, top_k=2, shared_hidden=16)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    loads: Tensor

    def __init__(
        self,
        width: int,
        hidden: int,
        num_experts: int,
        top_k: int,
        *,
        shared_hidden: int = 0,
        group: ExpertGroup | None = None,
        seed: int = 0,
        **router: Any,
    ) -> None:
        super().__init__()
        width, hidden = at_least(1, width, "width"), at_least(1, hidden, "hidden")
        shared_hidden = at_least(0, shared_hidden, "shared_hidden")
        self.router = _seeded(seed, 0, Router, width, num_experts, top_k, **router)
        num_experts = self.router.num_experts
        # Named by their numbers in the whole layer, which they keep when they are spread.
        experts = {str(number): seeded_expert(width, hidden, seed, number) for number in range(num_experts)}
        self.experts = nn.ModuleDict(experts)
        self.shared = _seeded(seed, 1, Expert, width, shared_hidden) if shared_hidden else None
        self.register_buffer("loads", torch.zeros(num_experts, dtype=torch.int64), persistent=False)
        self.group: ExpertGroup | None = None
        if group:
            self.spread(group)

    def spread(self, group: ExpertGroup) -> None:
        """Keep this rank's block of the experts. ValueError if the group does not fit, or its ranks do not agree."""
        if self.group is not None:
            raise ValueError(f"the experts are spread over {self.group.size} ranks already")
        router, weight = self.router, self.router.linear.weight
        sizes = {"width": weight.shape[1], "num_experts": router.num_experts, "top_k": router.top_k}
        group.require_agreement(**sizes, dtype=weight.dtype)
        if router.num_experts % group.size:
            raise ValueError(
                f"the number of experts must be a multiple of the {group.size} ranks that they are spread over, as "
                f"{-(-router.num_experts // group.size) * group.size} is; got {router.num_experts}"
            )
        local = router.num_experts // group.size
        self.group = group
        mine = range(group.rank * local, (group.rank + 1) * local)
        self.experts = nn.ModuleDict({str(number): self.experts[str(number)] for number in mine})

    def spread_parameters(self) -> Iterator[nn.Parameter]:
        if self.group is not None:
            yield from self.experts.parameters()

    exchanges = 2

    def segments(self, x: Tensor, *, before: str = "route") -> Segments:
        """before: the name of the segment that ends with the dispatch."""
        group = self.group.data if self.group else None
        tokens = x.reshape(-1, x.shape[-1])
        routing = self.router(tokens)
        plan = dispatch_plan(routing.experts, self.router.num_experts, group=self.group)
        self.loads += plan.loads
        weights = routing.weights
        if self.router.balance == "auxiliary" and plan.tokens:
            weights = self.router.with_auxiliary_loss(routing, plan.loads, plan.tokens)

        rows, weights, tokens = yield Exchange(
            "dispatch", tokens[plan.row_of], plan.send, plan.receive, group, carry=(weights, tokens), segment=before
        )
        # Each expert on its rows, even without any, so that its gradients are zeros.
        parts = zip(self.experts.values(), rows[plan.by_expert].split(plan.rows), strict=True)
        outputs = torch.cat([expert(part) for expert, part in parts])[plan.back]
        shared = self.shared(tokens) if self.shared is not None else torch.zeros_like(tokens)

        rows, weights, shared = yield Exchange(
            "combine", outputs, plan.receive, plan.send, group, carry=(weights, shared), segment="experts"
        )
        chosen = rows[plan.place_of].view(*weights.shape, x.shape[-1])  # [tokens, top_k, width]
        return (shared + (weights.unsqueeze(-1) * chosen).sum(1)).view(x.shape)

    def counts(self) -> Iterator[Tensor]:
        yield self.loads

    def end_step(self) -> None:
        """Move the router's bias, if it has one, against the loads of the step; then count from 0 again."""
        if self.router.balance == "bias":
            self.router.update_bias(self.loads)  # of all ranks already
        self.loads.zero_()


class MoEBlock(Segmented):
    """Causal self-attention, then a MoE, each on the normalised stream and added to it: [batch, sequence, width].

    Its segments and exchanges are attention and route · *dispatch* · experts · *combine* · sum. The keywords in `moe`
    are settings of :class:`MoE`.

    Examples
    --------
    >>> MoEBlock(8, heads=2, hidden=16, num_experts=4, top_k=2)(torch.zeros(2, 5, 8)).shape
    torch.Size([2, 5, 8])
    """

    def __init__(self, width: int, heads: int, *, seed: int = 0, **moe: Any) -> None:
        super().__init__()
        width, heads = at_least(1, width, "width"), at_least(1, heads, "heads")
        if width % heads:
            raise ValueError(f"width must be a multiple of heads, {heads}; got {width}")
        self.attention, self.norm = _seeded(seed, -1, Attention, width, heads), nn.LayerNorm(width)
        self.moe = MoE(width, seed=seed, **moe)

    def segments(self, x: Tensor) -> Segments:
        x = self.attention(x)
        output, x = yield from carrying(self.moe.segments(self.norm(x), before="attention"), x)
        return x + output
