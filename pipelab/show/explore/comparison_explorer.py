"""Comparison explorer: sliders above a table: what schedules cost for one model, or a large model's step takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

import ipywidgets as widgets

from ...schedules import SCHEDULES
from ...study.comparison import Comparison, compare_schedules
from ...study.estimate import estimate_step
from .base import Live
from .controls import Controls
from .experiment import error_html

_CONTROLS = ("ranks", "microbatches", "chunks", "forward", "backward_input", "backward_weight", "overlapped", "latency")


def explore_comparison(
    ranks: int = 4,
    microbatches: int = 8,
    *,
    schedules: Iterable[str] | None = None,
    controls: Iterable[str] = _CONTROLS,
    **costs: float,
) -> ComparisonExplorer:
    """A widget: the table of :func:`pipelab.comparison` under sliders.

    schedules   names, None for all;  controls: which sliders to show
    costs       where the sliders begin, of a P-th of the model. overlapped begins at F + I + W: nothing is hidden

    >>> explore_comparison(4, 8).result["dualpipe"].parameters
    2
    """
    names = list(SCHEDULES if schedules is None else schedules)
    begin = {"forward": 1.0, "backward_input": 1.0, "backward_weight": 1.0, **costs}
    begin.setdefault("overlapped", begin["forward"] + begin["backward_input"] + begin["backward_weight"])
    chosen = Controls(names[0], None, names, controls, {}, {"ranks": ranks, "microbatches": microbatches, **begin})

    def compute() -> Comparison:
        p, m, chunks = (chosen.value(name) for name in ("ranks", "microbatches", "chunks"))
        return compare_schedules(p, m, chosen.model_costs(whole=False), names, chunks)

    return ComparisonExplorer(chosen, compute)


def explore_estimate(
    ranks: int = 16,
    microbatches: int = 120,
    *,
    schedules: Iterable[str] = ("1f1b", "zb-h1", "dualpipe"),
) -> ComparisonExplorer:
    """A widget: what would a step of a model like DeepSeek-V3 take? `estimate_step`'s table under two sliders.

    >>> round(explore_estimate().result["dualpipe"].step, 1)
    17.9
    """
    names = list(schedules)
    limits = {"ranks": (2, 32, 2), "microbatches": (8, 256, 8)}
    values = {"ranks": ranks, "microbatches": microbatches}
    controls = Controls(names[0], None, names, ("ranks", "microbatches"), limits, values)
    return ComparisonExplorer(
        controls, lambda: estimate_step(names, controls.value("ranks"), controls.value("microbatches"))
    )


class ComparisonExplorer(Live):
    """Sliders above a table. `result` has the table's rows, or is None where the sliders allow none."""

    def __init__(self, controls: Controls, compute: Callable[[], Any]) -> None:
        self.controls, self.compute, self.lock = controls, compute, threading.RLock()
        self.result: Any = None
        self.table = widgets.HTML().add_class("pipelab-comparison")
        row = widgets.Layout(display="flex", flex_flow="row wrap", align_items="center")
        super().__init__([widgets.Box(controls.shown, layout=row), self.table])
        self.add_class("pipelab-comparer")
        for slider in controls.sliders.values():
            slider.observe(self._changed, "value")
        self._changed()

    def __repr__(self) -> str:
        return str(self.result)

    def _changed(self, change: Any = None) -> None:
        with self.lock:
            try:
                self.result = self.compute()
                self.table.value = self.result._repr_html_()
            except Exception as error:
                self.result = None
                self.table.value = error_html(error)

    def still(self) -> str:
        """The table."""
        return self.table.value
