"""What a closed form is given, and what it says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class StageCosts(NamedTuple):
    """The same for every stage: F; B, the whole backward; I and W, its parts; F&B, an overlapped pair of F and B."""

    f: Any
    b: Any
    i: Any
    w: Any
    overlapped: Any

    @property
    def both(self) -> Any:
        """One micro-batch's forward and backward."""
        return self.f + self.b


@dataclass(frozen=True)
class Theory:
    """What the formulas say of a schedule of P ranks and M micro-batches; F, I, W and B = I + W per stage-action.

    makespan             time of one step
    idle                 per rank: makespan minus the time in which it works
    published_bubble     the bubble as its authors give it; `assumes` says where it is `bubble`
    peak_activations     per rank, each of one stage and micro-batch
    parameters           copies of every parameter, over all ranks
    messages             between ranks in one step: activations and their gradients
    formulas             makespan, bubble, published bubble, peak activations and messages as text; r is the rank
    assumes              where they hold, besides equal stages and free messages: plain sentences
    """

    makespan: Any
    idle: tuple[Any, ...]
    published_bubble: Any
    peak_activations: tuple[int, ...]
    parameters: int
    messages: int
    formulas: dict[str, str]
    assumes: str

    @property
    def bubble(self) -> Any:
        """Idle time of the rank that is idle longest; of all but DualPipe and DualPipeV the same on every rank."""
        return max(self.idle)

    @property
    def bubble_fraction(self) -> Any:
        """Idle time of all ranks / (ranks · makespan)."""
        return sum(self.idle) / (len(self.idle) * self.makespan) if self.makespan else 0.0

    @property
    def bubble_over_ideal(self) -> Any:
        """Idle time of all ranks / their busy time."""
        busy = len(self.idle) * self.makespan - sum(self.idle)
        return sum(self.idle) / busy if busy else 0.0

    def bytes(self, message_bytes: Any) -> Any:
        """That all messages of one step carry, each `message_bytes`."""
        return self.messages * message_bytes
