"""Placed experts: a layer's experts in the slots of a plan, which may hold several replicas of one."""

from __future__ import annotations

import copy
import zlib
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from ..eplb import Plan
from ..moe.dispatch import DispatchPlan, count, dispatch_plan, gathered
from ..overlap.expert_group import ExpertGroup


def choose_replicas(experts: Tensor, slots: Tensor, chosen: Tensor | None = None, rank: int = 0) -> Tensor:
    """The slot that each choice of an expert goes to: that of one of its replicas, int64 like experts.

    The n-th token of an expert, counted over all ranks in their order, goes to replica n modulo their number. So the
    replicas share each rank's tokens evenly, to within one, and all ranks' tokens too; and nothing is left to chance.

    experts, int64 [tokens, top_k], are those of this rank's tokens; slots, int64 [experts, most replicas], are those of
    Plan.logical_to_physical; chosen, int64 [ranks, experts], is how many tokens of each rank chose each expert.

    >>> choose_replicas(torch.tensor([[0], [1], [0], [0]]), slots=torch.tensor([[0, 2], [1, -1]])).flatten().tolist()
    [0, 1, 2, 0]
    """
    flat = experts.flatten()
    if chosen is None:
        chosen = count(flat, len(slots))[None]
    before = chosen[:rank].sum(0)  # tokens of the ranks before this
    order = flat.argsort(stable=True)
    begins = chosen[rank].cumsum(0) - chosen[rank]
    number = torch.empty_like(flat)
    number[order] = torch.arange(len(flat), device=flat.device) - begins[flat[order]]
    replicas = (slots >= 0).sum(1)
    return slots[flat, (number + before[flat]) % replicas[flat]].view_as(experts)


def sent_to_slots(chosen: Tensor, slots: Tensor) -> Tensor:
    """How many tokens of each rank go to each slot by `choose_replicas`, whose arguments these are: [ranks, slots].

    So the ranks need to tell each other only what they chose, and not also where they send it.

    >>> sent_to_slots(torch.tensor([[3, 1], [2, 0]]), slots=torch.tensor([[0, 2], [1, -1]])).tolist()
    [[2, 1, 1], [1, 0, 1]]
    """
    there = slots >= 0
    replicas, replica = there.sum(1)[:, None], torch.arange(slots.shape[1], device=slots.device)
    until = chosen.cumsum(0)

    def of_the_first(number: Tensor) -> Tensor:
        """Of this number of tokens, those that go to each replica: [ranks, experts, most replicas]."""
        return (number[..., None] + replicas - 1 - replica).div(replicas, rounding_mode="floor")

    sent = of_the_first(until) - of_the_first(until - chosen)
    found = chosen.new_zeros(len(chosen), int(there.sum()))
    found[:, slots[there]] = sent[:, there]
    return found


class PlacedExperts(nn.Module):
    """A layer's experts where a plan puts them, for serving. Each GPU of the plan is a rank of the group.

    Each rank comes with any number of tokens of its own. Replicas have weights of their own; to train them, their
    gradients would have to be summed. :func:`migrate` takes the layer to another plan.

    Parameters
    ----------
    expert : function
        An expert's number -> its module, whose output has its input's shape. It is called for the experts in this
        rank's slots. All parameters must have the same shapes, so that one expert can take another's place.
    plan : Plan
        A ValueError says so if it is for another number of GPUs, or another plan than the other ranks'.
    layer : int
        This layer's number in the plan.
    group : ExpertGroup, optional
        Default: the plan is for one GPU.

    Examples
    --------
    >>> plan = Plan.from_map([[0, 1, 0]], load=[[2, 1]], gpus=1)
    >>> layer = PlacedExperts(lambda number: nn.Linear(4, 4), plan)
    >>> layer(torch.zeros(5, 4), experts=torch.tensor([[0], [1], [0], [0], [1]])).shape, layer.dispatched.rows
    (torch.Size([5, 4]), [2, 2, 1])
    """

    dispatched: DispatchPlan  # of the last tokens

    def __init__(
        self, expert: Callable[[int], nn.Module], plan: Plan, *, layer: int = 0, group: ExpertGroup | None = None
    ) -> None:
        super().__init__()
        self.layer, self.group = layer, group
        self.rank, self.size = (group.rank, group.size) if group else (0, 1)
        self.require_agreement(plan)
        self.place(plan)
        numbers = plan.physical_to_logical[layer].reshape(self.size, -1)[self.rank]
        self.experts = nn.ModuleList(copy.deepcopy(expert(number)) for number in numbers.tolist())

    def require_agreement(self, plan: Plan) -> None:
        """ValueError, on every rank, unless all have the same plan; else tokens would go where none expects them."""
        if self.group is not None:
            maps = (plan.physical_to_logical, plan.logical_to_physical)
            self.group.require_agreement(plan=tuple(zlib.crc32(each.tobytes()) for each in maps))

    def place(self, plan: Plan) -> None:
        """Send tokens by this plan from now on. The weights must be there already: see migrate."""
        if plan.sizes.gpus != self.size:
            raise ValueError(f"the plan is for {plan.sizes.gpus} GPUs; the experts are spread over {self.size} ranks")
        self.plan, self.slots = plan, torch.from_numpy(plan.logical_to_physical[self.layer].copy())

    @property
    def first(self) -> int:
        """The number of this rank's first slot."""
        return self.rank * self.plan.sizes.slots

    def forward(self, tokens: Tensor, experts: Tensor, weights: Tensor | None = None) -> Tensor:
        """Tokens [n, width], int64 experts [n, top_k] and weights of their outputs (default 1) -> [n, width]."""
        slots = self.slots.to(experts.device)
        chosen = gathered(count(experts.flatten(), len(slots)), self.group)
        replicas, sent = choose_replicas(experts, slots, chosen, self.rank), sent_to_slots(chosen, slots)
        plan = self.dispatched = dispatch_plan(replicas, self.plan.sizes.replicas, group=self.group, sent=sent)
        rows = exchange(tokens[plan.row_of], plan.send, plan.receive, self.group)
        outputs = self.compute(rows[plan.by_expert], plan.rows)[plan.back]
        rows = exchange(outputs, plan.receive, plan.send, self.group)
        chosen = rows[plan.place_of].view(*experts.shape, -1)
        return (chosen if weights is None else weights.unsqueeze(-1) * chosen).sum(1)

    def compute(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Each slot's expert on its rows."""
        parts = zip(self.experts, rows.split(counts), strict=True)
        return torch.cat([expert(part) if len(part) else part for expert, part in parts])

    def weights_of(self, slot: int) -> Tensor:
        """All weights of one of this rank's slots, copied: [parameters]."""
        return parameters_to_vector(self.experts[slot - self.first].parameters()).detach().clone()

    def take(self, slot: int, weights: Tensor) -> None:
        """Fill one of this rank's slots with these weights."""
        parameters = [*self.experts[slot - self.first].parameters()]
        with torch.no_grad():
            for each, part in zip(parameters, weights.split([p.numel() for p in parameters]), strict=True):
                each.copy_(part.view_as(each))


def exchange(rows: Tensor, send: list[int], receive: list[int], group: ExpertGroup | None) -> Tensor:
    """The all-to-all: `send` rows to each rank of the group, and `receive` rows from each."""
    if group is None:
        return rows
    arrived = rows.new_empty(sum(receive), *rows.shape[1:])
    dist.all_to_all_single(arrived, rows.contiguous(), receive, send, group=group.data)
    return arrived
