"""Outcome: what it took to serve loads on expert-parallel ranks, window by window; and when moving experts paid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..amounts import counted
from ..eplb import Plan
from ..simulator import Costs
from ..table import ShownAsTable, Table

_COLUMNS: dict[str, tuple[Callable[[Served], Any], str, str]] = {
    "plan": (lambda served: served.plan.policy, "", "the policy that made it"),
    "balance": (lambda served: served.balancedness, ".3f", "mean / maximum of the ranks' tokens"),
    "busiest": (lambda served: served.straggler_tokens, "", "tokens of the busiest rank, summed over layers"),
    "CPU ms": (lambda served: served.straggler, ".2f", "CPU time of the busiest rank's experts, summed over layers"),
    "wall ms": (lambda served: served.straggler_wall, ".1f", "wall time of the same"),
    "step ms": (lambda served: served.step, ".1f", "wall time of a step"),
    "moved": (lambda served: served.moved_slots, "", "slots whose expert came from another rank"),
    "MB": (lambda served: served.moved_bytes / 1e6, ".2f", "the weights that moved"),
    "moving ms": (lambda served: served.moving, ".1f", "wall time of the moves"),
    "planning ms": (lambda served: served.planning, ".1f", "to decide on the plan"),
}  # of a Serving's table: value, format and meaning


@dataclass(frozen=True, eq=False)
class Served:
    """One window: a number of steps with the same load. Times are in ms, and of one step unless stated otherwise.

    Examples
    --------
    >>> from pipelab.serving import serve
    >>> served = serve([[6, 2, 1, 1]], ranks=2, tokens=10, steps=1).windows[0]
    >>> served.tokens.tolist(), served.balancedness
    ([[8, 2]], 0.625)
    """

    plan: Plan  #: under which it was served, with the load served: plan.gpu_load is what the plan predicts
    tokens: np.ndarray  #: int64 [layers, ranks]: what each rank's experts got, counted there
    compute: np.ndarray  #: [layers, ranks]: CPU time of each rank's experts in their thread; the median of the steps
    wall: np.ndarray  #: [layers, ranks]: wall time of the same, with what the pace adds and waits for a free core
    step: float  #: wall time of the slowest rank, the median of the steps
    steps: int  #: in the window
    dispatch_bytes: int  #: sent between ranks in a step, in all layers' dispatches and combines
    moved_slots: int  #: before the window: slots whose expert came from another rank
    moved_bytes: int  #: their weights
    moving: float  #: the wall time of that
    planning: float  #: before the window: to decide on the plan; 0 where it was given
    error: float | None  #: largest difference from one process's outputs / the largest output; None: not checked
    source: str  #: "measured", or "paced": experts were held to a time per token
    late: float  #: time by which paced experts' real work exceeded their pace, as a share of it

    @property
    def balancedness(self) -> float:
        """Mean / maximum of the ranks' tokens, averaged over layers; 1 is even."""
        return float((self.tokens.mean(axis=1) / self.tokens.max(axis=1)).mean())

    @property
    def straggler(self) -> float:
        """CPU time of the busiest rank's experts, summed over layers, as all ranks wait for it in each."""
        return float(self.compute.max(axis=1).sum())

    @property
    def straggler_wall(self) -> float:
        """The same in wall time."""
        return float(self.wall.max(axis=1).sum())

    @property
    def straggler_tokens(self) -> int:
        """Tokens of the busiest rank, summed over layers."""
        return int(self.tokens.max(axis=1).sum())

    def pays_after(self, before: Served) -> float:
        """The number of steps after which planning and moving are paid for by steps shorter than those before.

        0 if nothing was planned or moved; infinity if the steps are not shorter.
        """
        cost, saved = self.moving + self.planning, before.step - self.step
        return 0.0 if not cost else cost / saved if saved > 0 else np.inf


@dataclass(frozen=True, eq=False)
class Serving(ShownAsTable):
    """What `serve` returns. It shows itself as a table with a row per window.

    Examples
    --------
    >>> from pipelab.serving import serve
    >>> serving = serve([[[6, 2, 1, 1]]] * 2, ranks=2, replicas=6, policy="refined", tokens=10, steps=1)
    >>> serving.replanned, serving.windows[1].balancedness, serving.equal
    ((1,), 1.0, True)
    """

    windows: tuple[Served, ...]
    replanned: tuple[int, ...]  #: the numbers of the windows before which the plan changed
    policy: str | None  #: that made the plans; None: they were given
    ranks: int
    layers: int
    experts: int  #: per layer
    tokens: int  #: per layer in a step, of all ranks together
    dtype: str
    backend: str
    expert_bytes: int  #: weights of one expert
    pace: Costs | None = None  #: in µs: what a token, and a move of experts, were held to; None: they were not

    @property
    def source(self) -> str:
        return "paced" if self.pace and self.pace.forward else "measured"

    @property
    def tolerance(self) -> float:
        """The largest error that counts as equal."""
        return {"float64": 1e-10, "float32": 1e-5}.get(self.dtype, 0.05)

    @property
    def error(self) -> float | None:
        """The largest of all windows."""
        return max((window.error for window in self.windows if window.error is not None), default=None)

    @property
    def equal(self) -> bool | None:
        """Are all outputs those of one process, up to rounding? None if that was not checked."""
        return None if self.error is None else self.error <= self.tolerance

    @property
    def valid(self) -> bool:
        """False if the cores could not keep the pace: real work exceeded its time by more than a tenth of it."""
        return all(window.late <= 0.1 for window in self.windows)

    @cached_property
    def totals(self) -> np.ndarray:
        """[windows]: ms until the end of each window, of all steps and of planning and moving before them."""
        return np.cumsum([each.steps * each.step + each.moving + each.planning for each in self.windows])

    @property
    def total(self) -> float:
        """ms of all windows."""
        return float(self.totals[-1])

    @property
    def moved_bytes(self) -> int:
        return sum(window.moved_bytes for window in self.windows)

    @property
    def moving(self) -> float:
        """ms of planning and moving in all windows together."""
        return sum(window.moving + window.planning for window in self.windows)

    @property
    def title(self) -> str:
        """What was served, in one line."""
        of = f"{counted(self.layers, 'layer')} of {counted(self.experts, 'expert')}"
        said = [f"{counted(self.ranks, 'rank')}, {of}, {counted(self.tokens, 'token')} a step"]
        pace = self.pace
        said.append(f"paced, {float(pace.forward):g} µs a token" if pace and pace.forward else "measured")
        if pace and (pace.latency or pace.bandwidth):
            said.append("experts moved over an emulated link")
        return " · ".join([*said, f"{self.dtype}, {self.backend}"])

    @property
    def table(self) -> Table[Served]:
        """A row per window."""
        notes = ["balance: mean / maximum of ranks' tokens. busiest: its tokens, and its experts' CPU and wall time"]
        if self.error is not None:
            same = "equal those" if self.equal else "DIFFER from those"
            notes.append(f"outputs {same} of one process with all experts: largest difference {self.error:.1g}")
        if not self.valid:
            remedy = "take more µs a token, or fewer ranks"
            notes.append(f"not valid as a timing: the cores could not keep the pace; {remedy}")
        columns = {"window": self.windows.index, **{name: value for name, (value, _, _) in _COLUMNS.items()}}
        formats = {name: form for name, (_, form, _) in _COLUMNS.items()}
        meanings = {"window": "its number", **{name: meaning for name, (*_, meaning) in _COLUMNS.items()}}
        return Table(self.windows, columns, formats=formats, meanings=meanings, notes=notes, title=self.title)

    def __repr__(self) -> str:
        return f"<Serving {self.title}: {counted(len(self.windows), 'window')}, {self.total:.0f} ms>"
