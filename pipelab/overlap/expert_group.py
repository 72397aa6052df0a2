"""The ranks that share a layer's experts, and send each other rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist


@dataclass(frozen=True)
class ExpertGroup:
    """The ranks over which the experts of a layer are spread, in equal consecutive blocks.

    Parameters
    ----------
    ranks : tuple of int
        Their numbers in the whole world.
    rank : int
        This one's place among them.
    data : ProcessGroup
        On which rows travel.
    counts : ProcessGroup
        On which ranks tell each other how many rows: it need not wait for rows that are on their way.

    Examples
    --------
    >>> from pipelab.ranks import Ranks
    >>> Ranks(2).run(lambda ctx: ExpertGroup.of().size)
    [2, 2]
    """

    ranks: tuple[int, ...]
    rank: int
    data: dist.ProcessGroup
    counts: dist.ProcessGroup

    @classmethod
    def of(cls, members: Sequence[int] | None = None) -> ExpertGroup:
        """A group of these ranks, made by them together; others need not take part. Default: the whole world."""
        ranks = tuple(range(dist.get_world_size()) if members is None else members)
        here = dist.get_rank()
        if here not in ranks:
            raise ValueError(f"rank {here} is not one of the group's ranks, {list(ranks)}")
        data, counts = (dist.new_group(list(ranks), use_local_synchronization=True) for _ in range(2))
        return cls(ranks, ranks.index(here), data, counts)

    @property
    def size(self) -> int:
        return len(self.ranks)

    def __deepcopy__(self, memo: dict[int, Any]) -> ExpertGroup:
        return self  # a copy of a layer talks to the same ranks

    def require_agreement(self, **settings: Any) -> None:
        """ValueError, on every rank, if the ranks have different settings: their rows would not fit each other."""
        theirs: list[Any] = [None] * self.size
        dist.all_gather_object(theirs, settings, group=self.counts)
        for name in settings:
            values = [each.get(name) for each in theirs]
            if len(set(values)) > 1:
                raise ValueError(f"all ranks of an expert group must have the same {name}; they have {values}")
