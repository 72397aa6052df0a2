"""What is sent to every rank, and what comes back. Plain data; torch is not needed to read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..ir import Action, Schedule
from ..simulator import Costs

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ..overlap.streams import SegmentSpan

    StageSource = nn.Module | Callable[[], nn.Module]
    Batch = tuple[torch.Tensor, torch.Tensor | None]  # (inputs, targets); targets may be missing where none learns
    Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    Optimizer = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


@dataclass(frozen=True)
class Job:
    """A run. Where `stages` or `batches` is a function, every rank calls it."""

    schedule: Schedule  # lowered
    stages: Any  # a list of StageSource, or a function that makes it
    batches: Any  # a list of Batch, or a function that makes it
    steps: Any  # how many: a number
    loss: Loss | None
    optimizer: Optimizer | None
    pace: Costs | None
    check: bool
    seed: int
    dtype: Any
    expert_ranks: int  # pipelines side by side, over which experts are spread
    overlap: bool  # False: exchanges of segmented stages are waited for at once
    order: Any  # a SegmentOrder, of the segments in a pair; how a user writes one until it is prepared
    rehearse: bool = False  # the stages are our own: run copies of them before the clock starts


@dataclass
class StepRecord:
    """What one rank did in one step. Times in nanoseconds of its machine's monotonic clock."""

    spans: list[tuple[Action, int, int]] = field(default_factory=list)
    segments: list[tuple[Action, SegmentSpan]] = field(default_factory=list)  # of actions on segmented stages
    activation_bytes: list[tuple[int, int]] = field(default_factory=list)  # (time, bytes kept) after each action
    freed_bytes: list[tuple[int, Action, int]] = field(default_factory=list)  # (time, action, bytes that it freed)
    peak_bytes: int = 0
    outputs: dict[int, torch.Tensor] = field(default_factory=dict)  # of the last stage, per micro-batch; inference only
    loss: float = 0.0  # this rank's share of the step's loss: 0 where it has no last stage
    lateness: float = 0.0  # seconds
    kept_pace: bool = True


class ReferenceCheck(NamedTuple):
    """How far a pipeline and a single process are apart, relative. None: there was nothing of this kind to compare."""

    gradient: float | None = None
    loss: float | None = None
    output: float | None = None
    worst: str = ""  # the parameter whose gradient differs most


@dataclass
class Report:
    """What one rank tells of a run."""

    steps: list[StepRecord] = field(default_factory=list)
    bytes_sent: int = 0
    check: ReferenceCheck | None = None
    exchanges: dict[int, int] = field(default_factory=dict)  # segmented stage -> exchanges in its forward
    early: dict[str, str] = field(default_factory=dict)  # parameter -> why I computed its gradient, which W should
    fingerprints: dict[int, str] = field(default_factory=dict)  # stage with several copies -> of its last parameters
    device: str = ""
    backend: str = ""
    dtypes: set[str] = field(default_factory=set)  # of its parameters
