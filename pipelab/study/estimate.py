"""Estimate: what a training step of a model like DeepSeek-V3 would take, and what a schedule's gain is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from html import escape

from ..simulator.costs import Costs
from .comparison import Comparison, Row, compare_schedules, table_html

#: What an estimate takes for granted.
ASSUMPTIONS = (
    "A P-th of the model is what was measured: 4 MoE layers. So P ranks hold 4P layers, 64 if P = 16; DeepSeek-V3 has "
    "61, the first 3 of them dense. Embedding, head, loss and multi-token prediction cost nothing.",
    "A micro-batch is one sequence of 4096 tokens, expert-parallel over 64 H800 GPUs, perfectly balanced.",
    "Every rank and every micro-batch takes the same time. F and B are without what ranks wait for each other in "
    "dispatch and combine; the overlapped pair, which was measured as a whole, is with it.",
    "Outside of a pair no communication is hidden. Kernels take as long as they did in the pair, where communication "
    "holds some of the GPU's multiprocessors: alone they would be a little faster.",
    "Messages between stages, the sum of gradients over replicas and the optimizer take no time.",
    "A schedule with more stages than ranks cuts every P-th in equal parts, and its pairs are shorter in proportion.",
)


@dataclass(frozen=True)
class Estimate:
    """One schedule's step. Times in seconds; per rank: the average over all ranks.

    step                   from the first action's start to the last one's end
    bubble                 idle time per rank
    bubble_fraction        bubble / step
    communication          inside of actions, hidden or not, per rank
    hidden_communication   of that, by how much pairs are shorter than F and B on their own, per rank
    saved                  against the first schedule of the table
    saved_by_bubble        of that, what the schedule would save if its pairs hid nothing, but took F + B
    saved_by_hiding        the rest: what hiding shortens, the pairs in the bubble among it
    """

    name: str
    step: float
    bubble: float
    bubble_fraction: float
    communication: float
    hidden_communication: float
    saved: float
    saved_by_bubble: float

    @property
    def saved_by_hiding(self) -> float:
        return self.saved - self.saved_by_bubble


_COLUMNS: dict[str, Callable[[Estimate], str]] = {
    "step s": lambda row: f"{row.step:.2f}",
    "bubble %": lambda row: f"{100 * row.bubble_fraction:.1f}",
    "hidden %": lambda row: f"{100 * row.hidden_communication / (row.communication or 1):.1f}",
    "saved s": lambda row: f"{row.saved:.2f}",
    "by bubble": lambda row: f"{row.saved_by_bubble:.2f}",
    "by hiding": lambda row: f"{row.saved_by_hiding:.2f}",
}


@dataclass(frozen=True)
class Estimates:
    """Rows in the order asked for, found by number or name; prints as a table with its assumptions.

    left_out   {name: why} of schedules that are not made for so many ranks or micro-batches
    """

    rows: tuple[Estimate, ...]
    left_out: dict[str, str]
    assumptions: tuple[str, ...] = ASSUMPTIONS

    def __getitem__(self, key: int | str) -> Estimate:
        if isinstance(key, int):
            return self.rows[key]
        for row in self.rows:
            if row.name == key:
                return row
        raise KeyError(self.left_out.get(key, key))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Estimate]:
        return iter(self.rows)

    def _cells(self) -> list[list[str]]:
        return [[row.name, *(figure(row) for figure in _COLUMNS.values())] for row in self.rows]

    def __str__(self) -> str:
        table = [["schedule", *_COLUMNS], *self._cells()]
        lines = [f"{name:<12}" + "".join(f"{cell:>11}" for cell in cells) for name, *cells in table]
        lines += [f"without {name}: {why}" for name, why in self.left_out.items()]
        return "\n".join([*lines, "assuming:", *(f"- {each}" for each in self.assumptions)])

    __repr__ = __str__  # a notebook keeps it beside the HTML

    def _repr_html_(self) -> str:
        """A table, with the assumptions to unfold."""
        notes = "".join(f"<div>without {escape(name)}: {escape(why)}</div>" for name, why in self.left_out.items())
        items = "".join(f"<li>{escape(each)}</li>" for each in self.assumptions)
        taken = f"<details><summary>what this takes for granted</summary><ul>{items}</ul></details>"
        return table_html(["schedule", *_COLUMNS], self._cells()) + notes + taken


def estimate_step(
    schedules: Iterable[str] = ("1f1b", "zb-h1", "dualpipe"),
    ranks: int = 16,
    microbatches: int = 120,
    costs: Costs | None = None,
) -> Estimates:
    """What would a step of a model like DeepSeek-V3 take? And what do schedules save against the first one?

    schedules   names
    costs       of a P-th of the model in ms, each one number (default: Costs.deepseek_v3())

    The steps are simulated. Assumptions, which the result lists, too: a P-th of the model is 4 MoE layers; a
    micro-batch is 4096 tokens, expert-parallel over 64 H800 GPUs in perfect balance; all ranks and micro-batches take
    the same time; nothing is hidden outside of overlapped pairs; messages between stages, the sum of gradients over
    replicas and the optimizer take no time; more stages than ranks are cut in equal parts. See ASSUMPTIONS.

    ValueError for names and counts that are none, for costs per stage, and where the first schedule is left out.

    >>> print(str(estimate_step(ranks=16, microbatches=120)).partition("assuming")[0])
    schedule         step s   bubble %   hidden %    saved s  by bubble  by hiding
    1f1b              27.84       11.1        0.0       0.00       0.00       0.00
    zb-h1             26.95        8.2        0.0       0.89       0.89       0.00
    dualpipe          17.89        5.0       78.8       9.95       1.45       8.49
    <BLANKLINE>
    """
    costs = costs or Costs.deepseek_v3()
    names = list(schedules)
    if not names:
        raise ValueError("name at least one schedule")
    if any(isinstance(value, tuple) for value in vars(costs).values()):
        raise ValueError("every cost must be one number: schedules cut the model in different places")
    serial = costs.duration("F", 0) + costs.duration("B", 0)
    found = compare_schedules(ranks, microbatches, costs, names)
    if names[0] in found.left_out:
        raise ValueError(f"{names[0]}, with which the others are compared, is left out: {found.left_out[names[0]]}")
    paired = [row.name for row in found if any(a.parts for program in row.schedule.programs for a in program)]
    slow = compare_schedules(ranks, microbatches, replace(costs, overlapped=serial), paired)
    unhidden = [slow[row.name] if row.name in paired else row for row in found]
    rows = tuple(_estimates(found, unhidden, microbatches, costs))
    return Estimates(rows, found.left_out)


def _estimates(found: Comparison, unhidden: Sequence[Row], microbatches: int, costs: Costs) -> Iterator[Estimate]:
    """A rank computes and communicates for every micro-batch on a P-th of the model, whatever the schedule."""
    communication = microbatches * sum(costs.split(kind, 0)[1] for kind in "FB") / 1000
    for row, plain in zip(found, unhidden, strict=True):
        yield Estimate(
            name=row.name,
            step=row.makespan / 1000,
            bubble=row.bubble / 1000,
            bubble_fraction=row.bubble_fraction,
            communication=communication,
            hidden_communication=(sum(plain.timeline.busy) - sum(row.timeline.busy)) / row.schedule.num_ranks / 1000,
            saved=(found[0].makespan - row.makespan) / 1000,
            saved_by_bubble=(unhidden[0].makespan - plain.makespan) / 1000,
        )
