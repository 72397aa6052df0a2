"""Tables under sliders: what every schedule costs for the same model, or what a large model's step takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...schedules import SCHEDULES
from ...study import compare_schedules, estimate_step
from .base import Explorer, html, row
from .controls import COSTS, Controls, with_costs

_CONTROLS = ("ranks", "microbatches", "chunks", *COSTS)


def explore_comparison(
    ranks: int = 4,
    microbatches: int = 8,
    *,
    schedules: Iterable[str] | None = None,
    controls: Iterable[str] = _CONTROLS,
    **costs: float,
) -> ComparisonExplorer:
    """A widget: the table of :func:`pipelab.compare_schedules` under sliders.

    Parameters
    ----------
    ranks, microbatches : int
        Where their sliders begin.
    schedules : iterable of str
        Names; all by default.
    controls : iterable of str
        Which sliders to show.
    **costs : float
        Where the sliders of costs begin, of a P-th of the model. overlapped begins at F + I + W: nothing is hidden.

    Examples
    --------
    >>> explore_comparison(4, 8).table["dualpipe"].parameters
    2
    """
    names = list(SCHEDULES if schedules is None else schedules)
    values = {"ranks": ranks, "microbatches": microbatches, **with_costs(costs)}
    chosen = Controls(names[0], None, names, controls, {}, values)

    def compute() -> Any:
        p, m, chunks = (chosen.value(name) for name in ("ranks", "microbatches", "chunks"))
        return compare_schedules(p, m, chosen.model_costs(whole=False), schedules=names, chunks=chunks)

    return ComparisonExplorer(chosen, compute)


def explore_estimate(
    ranks: int = 16, microbatches: int = 120, *, schedules: Iterable[str] = ("1f1b", "zb-h1", "dualpipe")
) -> ComparisonExplorer:
    """A widget: what would a step of a model like DeepSeek-V3 take? `estimate_step`'s table under two sliders.

    Parameters
    ----------
    ranks, microbatches : int
        Where the sliders begin.
    schedules : iterable of str
        Names; the others are held against the first.

    Examples
    --------
    >>> round(explore_estimate().table["dualpipe"].step, 1)
    17.9
    """
    names = list(schedules)
    limits = {"ranks": (2, 32, 2), "microbatches": (8, 256, 8)}
    controls = Controls(names[0], None, names, [*limits], limits, {"ranks": ranks, "microbatches": microbatches})
    return ComparisonExplorer(controls, lambda: estimate_step(*map(controls.value, limits), schedules=names))


class ComparisonExplorer(Explorer):
    """Sliders, in `controls`, above a `table`, which is None where the sliders allow none."""

    def __init__(self, controls: Controls, compute: Callable[[], Any]) -> None:
        super().__init__("comparer")
        self.controls, self.compute = controls, compute
        self.table: Any = None
        self.picture = html("comparison")
        self.fill([row(*controls.shown), self.picture], controls.sliders.values())

    def __repr__(self) -> str:
        return str(self.table)

    def draw(self, change: Any) -> None:
        self.table = None
        self.table = self.compute()
        self.picture.value = self.table._repr_html_()

    def still(self) -> str:
        return self.picture.value
