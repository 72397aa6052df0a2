"""Grid: ranks in rows and columns. Each column is a pipeline; each row holds one place of it, and shares experts.

                column 0   column 1
    pipeline 0   rank 0     rank 1      row: an expert group
    pipeline 1   rank 2     rank 3

Every column runs the same schedule on a share of each micro-batch. A layer's experts are spread over a row, and its
ranks send each other tokens; all other parameters have a copy in each column, whose gradients are summed over the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch.distributed as dist
from torch import nn

from ..ir import at_least
from ..overlap.segmented import outermost
from .copies import sum_gradients


@dataclass(frozen=True)
class ExpertGroup:
    """The ranks over which the experts of a layer are spread, in equal consecutive blocks.

    ranks   their numbers in the whole world; `rank` is this one's place among them
    data    the process group on which rows travel
    counts  another on which ranks tell each other how many: it need not wait for rows that are on their way
    """

    ranks: tuple[int, ...]
    rank: int
    data: dist.ProcessGroup
    counts: dist.ProcessGroup

    @classmethod
    def of(cls, ranks: Sequence[int] | None = None) -> ExpertGroup:
        """Made by all its ranks together; ranks outside needn't take part. None: of the whole world."""
        ranks = tuple(range(dist.get_world_size()) if ranks is None else ranks)
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


class Grid(NamedTuple):
    """Where a rank stands: its row (place in the pipeline) and its column, of `rows` and `columns`.

    >>> Grid.of(rank=3, rows=2, columns=2)
    Grid(row=1, column=1, rows=2, columns=2)
    >>> _.pipeline, _.neighbours
    ((1, 3), (2, 3))
    """

    row: int
    column: int
    rows: int
    columns: int

    @classmethod
    def of(cls, rank: int, rows: int, columns: int = 1) -> Grid:
        if rank >= at_least(1, rows, "rows") * at_least(1, columns, "columns"):
            raise ValueError(f"a grid of {rows} x {columns} has ranks 0 to {rows * columns - 1}; got {rank}")
        return cls(*divmod(rank, columns), rows, columns)

    @property
    def pipeline(self) -> tuple[int, ...]:
        """The ranks of this column, by their place in the pipeline."""
        return self.column_of(self.column)

    def column_of(self, column: int) -> tuple[int, ...]:
        return tuple(row * self.columns + column for row in range(self.rows))

    @property
    def neighbours(self) -> tuple[int, ...]:
        """The ranks of this row. They stand next to each other: within a machine, where there are several."""
        return tuple(self.row * self.columns + column for column in range(self.columns))


def sum_replicated_gradients(module: nn.Module, group: ExpertGroup | None) -> None:
    """Sum over the group the gradients of what every rank has a copy of: all parameters but those that are spread.

    An expert stands on one rank, and has seen all ranks' tokens already.
    """
    if group is None or group.size == 1:
        return
    alone = {p for each in outermost(module) for p in each.spread_parameters()}
    sum_gradients([p for p in module.parameters() if p.requires_grad and p not in alone], group.data)
