"""Grid: ranks in rows and columns. Each column is a pipeline; each row holds one place of it, and shares experts.

                column 0   column 1
    pipeline 0   rank 0     rank 1      row: an expert group
    pipeline 1   rank 2     rank 3

Every column runs the same schedule on a share of each micro-batch. A layer's experts are spread over a row, and its
ranks send each other tokens; all other parameters have a copy in each column, whose gradients are summed over the row.
"""

from __future__ import annotations

from typing import NamedTuple

from ..amounts import at_least


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
        rows, columns = at_least(1, rows, "rows"), at_least(1, columns, "columns")
        if rank >= rows * columns:
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
