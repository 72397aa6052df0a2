"""What `serve` sends to every rank, and what comes back. Reading it does not need torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from ..eplb import Plan
from ..simulator import Costs


class Predictor(Protocol):
    """Such as pipelab.eplb.MovingAverage and Window."""

    def update(self, load: Any) -> np.ndarray:
        """Take in the newest window [layers, experts]; returns the prediction for the next."""


@dataclass(frozen=True)
class ServingJob:
    """What `serve` was asked for."""

    counts: np.ndarray  # int64 [windows, layers, experts]: tokens
    plans: tuple[Plan, ...]  # one for each window, or only the first
    policy: str | None
    when: frozenset[int]  # the windows before which the policy plans anew
    predictor: Predictor
    max_moved: float
    steps: int
    pace: Costs | None  # in µs
    width: int
    hidden: int
    dtype: str
    seed: int
    check: bool


@dataclass
class WindowReport:
    """What one rank did in one window. Times in seconds."""

    plan: Plan
    changed: bool = False  # is the plan another than in the window before?
    planning: float = 0.0
    moving: float = 0.0
    moved_slots: int = 0
    moved_bytes: int = 0
    tokens: list[int] = field(default_factory=list)  # per layer
    compute: list[list[float]] = field(default_factory=list)  # [steps][layers]
    wall: list[list[float]] = field(default_factory=list)  # the same
    steps: list[float] = field(default_factory=list)
    sent_bytes: int = 0
    error: float | None = None
    held: float = 0.0  # that the pace gave its experts
    late: float = 0.0  # by which they took longer


@dataclass
class ServingReport:
    """What one rank reports."""

    windows: list[WindowReport]
    expert_bytes: int
    backend: str
