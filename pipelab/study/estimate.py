"""Estimate: what a training step of a model like DeepSeek-V3 would take, and what a schedule's gain is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Any

from ..amounts import at_least
from ..simulator.costs import Costs, require_costs
from .comparison import Comparison, PartialTable, Row, compare_schedules

#: What an estimate takes for granted.
ASSUMPTIONS = (
    "A P-th of the model is what was measured: 4 MoE layers. So P ranks hold 4P layers, 64 if P = 16; DeepSeek-V3 has "
    "61, the first 3 of them dense. Embedding, head, loss and multi-token prediction cost nothing.",
    "A micro-batch is one sequence of 4096 tokens, expert-parallel over 64 H800 GPUs, perfectly balanced.",
    "Every rank and every micro-batch takes the same time. F and B leave out the time in which ranks wait for each "
    "other in dispatch and combine; the overlapped pair, which was measured as a whole, includes it.",
    "Outside of a pair no communication is hidden. Kernels take as long as they did in the pair, where communication "
    "holds some of the GPU's multiprocessors: alone they would be a little faster.",
    "Messages between stages, the sum of gradients over copies of a stage and the optimizer take no time.",
    "A schedule with more stages than ranks cuts every P-th into equal parts, and its pairs are shorter in proportion.",
)


@dataclass(frozen=True)
class Estimate:
    """One schedule's step. Times in seconds; per rank: the average over all ranks.

    Attributes
    ----------
    step : float
        From the first action's start to the last one's end.
    bubble, bubble_fraction : float
        Idle time per rank; that / step.
    communication : float
        Inside actions, hidden or not, per rank.
    hidden_communication : float
        Of that, by how much pairs are shorter than F and B on their own, per rank.
    saved : float
        Against the first schedule of the table.
    saved_by_bubble : float
        Of that, what the schedule would save if its pairs hid nothing, but took F + B.
    saved_by_hiding : float
        The rest: what hiding shortens, including the pairs in the bubble.
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


_COLUMNS: dict[str, tuple[str, Callable[[Estimate], Any]]] = {
    "schedule": ("", lambda row: row.name),
    "step s": ("time of one step, in seconds", lambda row: row.step),
    "bubble %": ("idle time per rank / step", lambda row: 100 * row.bubble_fraction),
    "hidden %": (
        "of the communication inside actions: how much is hidden behind computation",
        lambda row: 100 * row.hidden_communication / (row.communication or 1),
    ),
    "saved s": ("against the first schedule, in seconds", lambda row: row.saved),
    "by bubble": ("of what is saved: by a smaller bubble, if pairs hid nothing", lambda row: row.saved_by_bubble),
    "by hiding": ("of what is saved: the rest, by hiding communication", lambda row: row.saved_by_hiding),
}
_FORMATS = dict.fromkeys(_COLUMNS, ".2f") | {"bubble %": ".1f", "hidden %": ".1f"}


class Estimates(PartialTable[Estimate]):
    """A table of steps in the order asked for; rows are found by number or name. Shows its assumptions.

    Attributes
    ----------
    left_out : dict of str to str
        Name -> why, for schedules that are not made for so many ranks or micro-batches.
    assumptions : tuple of str

    Examples
    --------
    >>> steps = estimate_step(16, 120, schedules=["1f1b", "dualpipe"])
    >>> round(steps["dualpipe"].saved, 2), len(steps.assumptions)
    (9.95, 6)
    """

    def __init__(
        self, rows: Iterable[Estimate], left_out: Mapping[str, str], *, assumptions: tuple[str, ...] = ASSUMPTIONS
    ) -> None:
        super().__init__(rows, _COLUMNS, left_out, _FORMATS)
        self.assumptions = assumptions

    def __str__(self) -> str:
        return "\n".join([super().__str__(), "assuming:", *(f"- {each}" for each in self.assumptions)])

    __repr__ = __str__  # a notebook keeps it beside the HTML

    def _repr_html_(self) -> str:
        """A table, with the assumptions to unfold."""
        items = "".join(f"<li>{escape(each)}</li>" for each in self.assumptions)
        taken = f"<details><summary>what this takes for granted</summary><ul>{items}</ul></details>"
        return super()._repr_html_() + taken


def estimate_step(
    ranks: int = 16,
    microbatches: int = 120,
    costs: Costs | None = None,
    *,
    schedules: Iterable[str] = ("1f1b", "zb-h1", "dualpipe"),
) -> Estimates:
    """What would a step of a model like DeepSeek-V3 take? And what do schedules save against the first one?

    The steps are simulated. Assumptions, which the result lists, too: a P-th of the model is 4 MoE layers; a
    micro-batch is 4096 tokens, expert-parallel over 64 H800 GPUs in perfect balance; all ranks and micro-batches take
    the same time; nothing is hidden outside of overlapped pairs; messages between stages, the sum of gradients over
    copies and the optimizer take no time; more stages than ranks are cut in equal parts. See ASSUMPTIONS.

    Parameters
    ----------
    ranks, microbatches : int
        P and M.
    costs : Costs, optional
        Of a P-th of the model, each one number; without a unit, in ms. Default: Costs.deepseek_v3().
    schedules : iterable of str
        Names.

    Raises
    ------
    ValueError
        For an unknown name, for counts that don't fit, for costs per stage, and where the first schedule is left out.

    Examples
    --------
    >>> print(str(estimate_step(ranks=16, microbatches=120)).partition("assuming")[0])
    schedule  step s  bubble %  hidden %  saved s  by bubble  by hiding
    1f1b       27.84      11.1       0.0     0.00       0.00       0.00
    zb-h1      26.95       8.2       0.0     0.89       0.89       0.00
    dualpipe   17.89       5.0      78.8     9.95       1.45       8.49
    <BLANKLINE>
    """
    ranks, microbatches = at_least(1, ranks, "ranks"), at_least(1, microbatches, "microbatches")
    costs = (Costs.deepseek_v3() if costs is None else require_costs(costs)).in_unit("ms")
    names = list(schedules)
    if not names:
        raise ValueError("name at least one schedule")
    if any(isinstance(value, tuple) for value in vars(costs).values()):
        raise ValueError("every cost must be one number: schedules cut the model in different places")
    serial = costs.duration("F", 0) + costs.duration("B", 0)
    found = compare_schedules(ranks, microbatches, costs, schedules=names)
    if names[0] in found.left_out:
        raise ValueError(f"{names[0]}, with which the others are compared, is left out: {found.left_out[names[0]]}")
    paired = [row.name for row in found if any(a.parts for program in row.schedule.programs for a in program)]
    slow = compare_schedules(ranks, microbatches, replace(costs, overlapped=serial), schedules=paired)
    unhidden = [slow[row.name] if row.name in paired else row for row in found]
    return Estimates(_estimates(found, unhidden, microbatches, costs), found.left_out)


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
