"""Served: what it took to serve loads on expert-parallel ranks, window by window; and when moving experts paid."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..eplb import Plan
from ..ir import counted


@dataclass(frozen=True, eq=False)
class Served:
    """One window: so many steps with the same load. Times in ms, of one step unless it says otherwise.

    plan            under which it was served, with the load that was served: plan.gpu_load is what it predicts
    tokens          int64 [layers, ranks]: that each rank's experts got, counted there
    compute         [layers, ranks]: CPU time of each rank's experts, in its thread; the median of the steps
    wall            [layers, ranks]: wall time of the same: the pace's, or with waits for a free core
    step            wall time, of the slowest rank; the median of the steps
    steps           how many the window had
    dispatch_bytes  in a step, between ranks: of all layers' dispatches and combines
    moved_slots, moved_bytes, moving   before the window: experts that came from another rank, and the wall time of it
    planning        before the window: to decide on the plan;  0 where the plan was given
    error           largest difference from the outputs of one process that holds all experts, relative to the largest
                    output; None where that was not checked
    source          "measured"; or "paced": experts were held to a time per token
    late            by how much paced experts' real work exceeded their time, as a share of it; 0 where nothing is paced
    """

    plan: Plan
    tokens: np.ndarray
    compute: np.ndarray
    wall: np.ndarray
    step: float
    steps: int
    dispatch_bytes: int
    moved_slots: int
    moved_bytes: int
    moving: float
    planning: float
    error: float | None
    source: str
    late: float

    @property
    def balancedness(self) -> float:
        """Mean / maximum of the ranks' tokens, the mean of all layers; 1 is even."""
        return float((self.tokens.mean(axis=1) / self.tokens.max(axis=1)).mean())

    @property
    def straggler(self) -> float:
        """CPU time of the busiest rank's experts, summed over layers: in every layer all ranks wait for it."""
        return float(self.compute.max(axis=1).sum())

    @property
    def straggler_wall(self) -> float:
        """The same, in wall time."""
        return float(self.wall.max(axis=1).sum())

    @property
    def straggler_tokens(self) -> int:
        """Tokens of the busiest rank, summed over layers."""
        return int(self.tokens.max(axis=1).sum())

    def pays_after(self, before: Served) -> float:
        """Steps until the experts' way to this window's plan is paid for by steps shorter than those of before.

        0 if nothing was moved or planned; infinity if steps are not shorter.
        """
        cost, saved = self.moving + self.planning, before.step - self.step
        return 0.0 if not cost else cost / saved if saved > 0 else np.inf


@dataclass(frozen=True, eq=False)
class Serving:
    """What `serve` returns. It prints as a table, one row per window.

    windows       what each was
    replanned     the numbers of the windows before which the plan changed
    policy        that made the plans; None: they were given
    ranks, layers, experts, tokens (per layer in a step, of all ranks together), dtype, backend
    expert_bytes  weights of one expert
    pace_us       µs per token that every rank's experts were held to; None: they took what they took
    bandwidth     of the emulated link that moved experts took, in bytes per ms; None: the machine's own
    """

    windows: tuple[Served, ...]
    replanned: tuple[int, ...]
    policy: str | None
    ranks: int
    layers: int
    experts: int
    tokens: int
    dtype: str
    backend: str
    expert_bytes: int
    pace_us: float | None = None
    bandwidth: float | None = None

    @property
    def source(self) -> str:
        return "measured" if self.pace_us is None else "paced"

    @property
    def tolerance(self) -> float:
        """The largest error that counts as equal."""
        return 1e-10 if self.dtype == "float64" else 1e-5 if self.dtype == "float32" else 0.05

    @property
    def error(self) -> float | None:
        """The largest of all windows."""
        found = [window.error for window in self.windows if window.error is not None]
        return max(found) if found else None

    @property
    def equal(self) -> bool | None:
        """Are all outputs those of one process, up to rounding? None where that was not checked."""
        return None if self.error is None else self.error <= self.tolerance

    @property
    def valid(self) -> bool:
        """False if the cores could not keep the pace: real work exceeded its time by more than a tenth of it."""
        return all(window.late <= 0.1 for window in self.windows)

    @cached_property
    def totals(self) -> np.ndarray:
        """[windows]: ms until the end of each window: of all steps, and of planning and moving before them."""
        return np.cumsum([each.steps * each.step + each.moving + each.planning for each in self.windows])

    @property
    def total(self) -> float:
        """ms: of all windows."""
        return float(self.totals[-1])

    @property
    def moved_bytes(self) -> int:
        return sum(window.moved_bytes for window in self.windows)

    @property
    def moving(self) -> float:
        """ms of planning and moving, in all windows together."""
        return sum(window.moving + window.planning for window in self.windows)

    @property
    def title(self) -> str:
        """What it was, in one line."""
        of = f"{counted(self.layers, 'layer')} of {counted(self.experts, 'expert')}"
        said = [f"{counted(self.ranks, 'rank')}, {of}, {counted(self.tokens, 'token')} a step"]
        said.append("measured" if self.pace_us is None else f"paced, {self.pace_us:g} µs a token")
        if self.bandwidth is not None:
            said.append("experts moved over an emulated link")
        return " · ".join([*said, f"{self.dtype}, {self.backend}"])

    def __str__(self) -> str:
        head = ["window", "plan", "balance", "busiest", "CPU ms", "wall ms", "step ms"]
        head += ["moved", "MB", "moving ms", "planning ms"]
        rows = [
            [
                str(number),
                each.plan.policy,
                f"{each.balancedness:.3f}",
                str(each.straggler_tokens),
                f"{each.straggler:.2f}",
                f"{each.straggler_wall:.1f}",
                f"{each.step:.1f}",
                str(each.moved_slots),
                f"{each.moved_bytes / 1e6:.2f}",
                f"{each.moving:.1f}",
                f"{each.planning:.1f}",
            ]
            for number, each in enumerate(self.windows)
        ]
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        lines = [self.title]
        for row in (head, *rows):
            lines.append("  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)))
        lines.append(
            "balance: mean / maximum of the ranks' tokens. busiest: its tokens, and its experts' CPU and wall time"
        )
        if self.error is not None:
            same = "equal those" if self.equal else "DIFFER from those"
            lines.append(f"outputs {same} of one process with all experts: largest difference {self.error:.1g}")
        if not self.valid:
            lines.append(
                "not valid as a timing: the cores could not keep the pace; take more µs a token, or fewer ranks"
            )
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Serving {self.title}: {counted(len(self.windows), 'window')}, {self.total:.0f} ms>"
