"""Dispatch: which token goes to which rank, and in which order. The combine takes the same way back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ..amounts import at_least
from ..overlap.expert_group import ExpertGroup


@dataclass(frozen=True)
class DispatchPlan:
    """How a rank's tokens get to their experts, once every rank knows what all ranks send.

    Examples
    --------
    >>> plan = dispatch_plan(torch.tensor([[1], [0], [1]]), num_experts=2)
    >>> plan.send, plan.loads.tolist(), plan.tokens
    ([3], [1, 2], 3)
    """

    row_of: Tensor  #: int64 [tokens · top_k]: the token that each row to send is; rows are sorted by expert, so by rank
    place_of: Tensor  #: int64 [tokens · top_k]: where the row of a token's j-th choice stands among those sent
    send: list[int]  #: rows to each rank of the group
    receive: list[int]  #: rows from each rank of the group
    by_expert: Tensor  #: int64 [rows received]: the order that sorts them by this rank's experts
    back: Tensor  #: the inverse of that order
    rows: list[int]  #: rows that each expert of this rank gets
    loads: Tensor  #: int64 [experts]: how often all ranks together chose each expert
    tokens: int  #: of all ranks together


def dispatch_plan(
    chosen: Tensor, num_experts: int, *, group: ExpertGroup | None = None, sent: Tensor | None = None
) -> DispatchPlan:
    """The DispatchPlan for the experts that tokens chose.

    Parameters
    ----------
    chosen : int64 tensor [tokens, top_k]
        The experts that this rank's tokens chose.
    num_experts : int
        A multiple of the group's ranks. A choice of an expert beyond it raises a ValueError.
    group : ExpertGroup, optional
        Default: all experts are on this rank.
    sent : int64 tensor [ranks, experts], optional
        How many tokens each rank has for each expert. Default: the ranks of the group tell each other.

    Examples
    --------
    >>> made = dispatch_plan(torch.tensor([[1], [0], [1]]), num_experts=2)
    >>> made.row_of.tolist(), made.place_of.tolist(), made.rows
    ([1, 0, 2], [1, 0, 2], [1, 2])
    """
    size, rank = (group.size, group.rank) if group else (1, 0)
    num_experts = at_least(1, num_experts, "num_experts")
    if num_experts % size:
        raise ValueError(f"the number of experts must be a multiple of the {size} ranks; got {num_experts}")
    top_k, flat = chosen.shape[-1], chosen.flatten()
    order = flat.argsort(stable=True)
    if sent is None:
        sent = gathered(count(flat, num_experts), group)
    matrix = sent.view(size, size, -1)  # [from rank, to rank, its expert]
    mine = matrix[:, rank]  # [from rank, my expert]
    # The rows that come are sorted by (rank, expert). A stable sort by expert keeps the order of ranks within each.
    kinds = torch.arange(mine.shape[1], device=flat.device).repeat(size).repeat_interleave(mine.flatten())
    by_expert = kinds.argsort(stable=True)
    return DispatchPlan(
        row_of=order // top_k,
        place_of=_inverse(order),
        send=matrix[rank].sum(-1).tolist(),
        receive=mine.sum(-1).tolist(),
        by_expert=by_expert,
        back=_inverse(by_expert),
        rows=mine.sum(0).tolist(),
        loads=matrix.sum(0).flatten(),
        tokens=int(matrix.sum()) // top_k,
    )


def count(experts: Tensor, num_experts: int) -> Tensor:
    """How often each expert is chosen, int64 [experts]. ValueError for one that does not exist."""
    chosen = experts.bincount(minlength=num_experts)
    if len(chosen) > num_experts:
        raise ValueError(f"experts are numbered from 0 to {num_experts - 1}; got {int(experts.max())}")
    return chosen


def gathered(chosen: Tensor, group: ExpertGroup | None) -> Tensor:
    """Every rank's counts, [ranks, experts]: sender and receiver so agree on how much is sent."""
    if group is None:
        return chosen.unsqueeze(0)
    everyone = [torch.empty_like(chosen) for _ in range(group.size)]
    dist.all_gather(everyone, chosen, group=group.counts)
    return torch.stack(everyone)


def _inverse(order: Tensor) -> Tensor:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    return inverse
