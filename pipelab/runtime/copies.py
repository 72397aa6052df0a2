"""Several ranks hold a copy of a stage; each sees some of the micro-batches, and they learn as one."""

from __future__ import annotations

from hashlib import sha256

import torch
import torch.distributed as dist
from torch import nn

from ..ir import Placement
from ..overlap.expert_group import ExpertGroup
from ..overlap.segmented import outermost
from .grid import Grid


class Copies:
    """This rank's copies of stages that other ranks hold, too; in a bidirectional pipeline those are all its stages.

    All ranks make it at the same time, as they must make process groups together.

    Parameters
    ----------
    placement : Placement
        Of the stages.
    modules : dict of int to nn.Module
        Stage -> the module that this rank holds.
    grid : Grid
        Of pipelines, in which this rank stands; each has copies of its own.
    """

    def __init__(self, placement: Placement, modules: dict[int, nn.Module], grid: Grid) -> None:
        columns = [grid.column_of(column) for column in range(grid.columns)]
        groups: dict[tuple[int, ...], dist.ProcessGroup] = {}
        self.shared: list[tuple[int, nn.Module, dist.ProcessGroup]] = []
        for stage in range(placement.num_stages):
            holders = tuple(sorted(placement.holders(stage)))
            if len(holders) > 1:
                for column in columns:
                    ranks = tuple(column[holder] for holder in holders)
                    if ranks not in groups:
                        groups[ranks] = dist.new_group(list(ranks))
                if stage in modules:
                    ranks = tuple(grid.pipeline[holder] for holder in holders)
                    self.shared.append((stage, modules[stage], groups[ranks]))

    def sum_gradients(self) -> None:
        """Give every copy of a parameter the sum of all copies' gradients, bit by bit the same; of `counts`, too.

        So equal optimizers do equal steps, and copies that began equal stay equal. Stages of the same ranks are summed
        together, in one message per dtype. Groups take turns in one order that all ranks share, that of their stages.
        """
        for group in dict.fromkeys(group for _, _, group in self.shared):
            modules = [module for _, module, its in self.shared if its is group]
            sum_gradients([p for module in modules for p in module.parameters() if p.requires_grad], group)
            for segmented in (each for module in modules for each in outermost(module)):
                for count in segmented.counts():
                    dist.all_reduce(count, group=group)

    def fingerprints(self) -> dict[int, str]:
        """Stage -> a hash of its parameters' bytes, for every stage that other ranks hold, too."""
        found = {}
        for stage, module, _ in self.shared:
            content = sha256()
            for p in module.parameters():
                content.update(p.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
            found[stage] = content.hexdigest()
        return found


def sum_replicated_gradients(module: nn.Module, group: ExpertGroup | None) -> None:
    """Sum over the group the gradients of what every rank has a copy of: all parameters but those that are spread.

    An expert stands on one rank, and has seen all ranks' tokens already.

    Parameters
    ----------
    module : nn.Module
        With layers of experts in it, or without.
    group : ExpertGroup or None
        Over which they are spread; None: there is only this rank.

    Examples
    --------
    >>> from pipelab.ranks import Ranks
    >>> def summed(ctx):
    ...     layer = nn.Linear(1, 1)
    ...     layer(torch.ones(1, 1)).backward()
    ...     sum_replicated_gradients(layer, ExpertGroup.of())
    ...     return layer.weight.grad.item()
    >>> Ranks(2).run(summed)
    [2.0, 2.0]
    """
    if group is None or group.size == 1:
        return
    alone = {p for each in outermost(module) for p in each.spread_parameters()}
    sum_gradients([p for p in module.parameters() if p.requires_grad and p not in alone], group.data)


def sum_gradients(parameters: list[nn.Parameter], group: dist.ProcessGroup) -> None:
    """Sum the gradients of parameters over the ranks of a group, each dtype's in one message.

    What has no gradient anywhere keeps none.
    """
    for dtype in dict.fromkeys(p.dtype for p in parameters):
        alike = [p for p in parameters if p.dtype == dtype]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in alike]
        present = torch.tensor([p.grad is not None for p in alike]).to(gradients[0])
        flat = torch.cat([present, *(gradient.reshape(-1) for gradient in gradients)])
        dist.all_reduce(flat, group=group)
        present, *parts = flat.split([len(alike), *(p.numel() for p in alike)])
        for p, part, copies in zip(alike, parts, present.tolist(), strict=True):
            p.grad = part.view(p.shape) if copies else None
