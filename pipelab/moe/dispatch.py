"""Dispatch: which token goes to which rank, and in which order; the same way back is the combine."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from ..runtime.grid import ExpertGroup


@dataclass(frozen=True)
class DispatchPlan:
    """How the tokens of a rank get to their experts, once it is known what all ranks send.

    row_of      int64 [tokens · top_k]: which token the i-th row to send is. Rows are sorted by expert, and so by rank.
    place_of    int64 [tokens · top_k]: where the row of a token's j-th choice stands among those sent, and comes back
    send        rows to each rank of the group;  receive: rows from each
    by_expert   int64 [rows received]: takes them from the order of ranks to that of this rank's experts
    back        the inverse of it
    rows        per expert of this rank: how many rows it gets
    loads       int64 [experts]: how often all ranks together chose each;  tokens: of all ranks together
    """

    row_of: Tensor
    place_of: Tensor
    send: list[int]
    receive: list[int]
    by_expert: Tensor
    back: Tensor
    rows: list[int]
    loads: Tensor
    tokens: int


def dispatch_plan(
    experts: Tensor, num_experts: int, group: ExpertGroup | None = None, sent: Tensor | None = None
) -> DispatchPlan:
    """The DispatchPlan for tokens' choices, int64 [tokens, top_k].

    sent   int64 [ranks, experts]: how many tokens each rank has for each. None: the ranks of the group tell each other

    ValueError for a number of experts that the ranks can't share equally, and for an expert that there is not.

    >>> made = dispatch_plan(torch.tensor([[1], [0], [1]]), num_experts=2)
    >>> made.row_of.tolist(), made.place_of.tolist(), made.rows
    ([1, 0, 2], [1, 0, 2], [1, 2])
    """
    size, rank = (group.size, group.rank) if group else (1, 0)
    if num_experts % size:
        raise ValueError(f"the number of experts must be a multiple of the {size} ranks; got {num_experts}")
    top_k, flat = experts.shape[-1], experts.flatten()
    order = flat.argsort(stable=True)
    if sent is None:
        sent = gathered(count(flat, num_experts), group)
    matrix = sent.view(size, size, -1)  # [from rank, to rank, its expert]
    mine = matrix[:, rank]  # [from rank, my expert]
    # The rows that come are sorted by (rank, expert). A stable sort by expert keeps the ranks' order inside.
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
    """How often each expert is among those, int64 [experts]. ValueError for one that there is not."""
    chosen = experts.bincount(minlength=num_experts)
    if len(chosen) > num_experts:
        raise ValueError(f"experts are numbered from 0 to {num_experts - 1}; got {int(experts.max())}")
    return chosen


def gathered(chosen: Tensor, group: ExpertGroup | None) -> Tensor:
    """Every rank's counts, [ranks, experts]: who sends how much to whom, of which both sides so have one view."""
    if group is None:
        return chosen.unsqueeze(0)
    everyone = [torch.empty_like(chosen) for _ in range(group.size)]
    dist.all_gather(everyone, chosen, group=group.counts)
    return torch.stack(everyone)


def _inverse(order: Tensor) -> Tensor:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(len(order), device=order.device)
    return inverse
