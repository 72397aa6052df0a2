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

    Attributes
    ----------
    makespan : number
        Time of one step.
    idle : tuple of numbers
        Per rank: the makespan minus the time in which the rank works.
    published_bubble : number
        The bubble as its authors give it; `assumes` says where it equals `bubble`.
    peak_activations : tuple of int
        Per rank, each activation of one stage and one micro-batch.
    parameters : int
        Copies of every parameter, over all ranks.
    messages : int
        Between ranks in one step: activations and their gradients.
    formulas : dict of str to str
        Makespan, bubble, published bubble, peak activations and messages as text; r is the rank.
    assumes : str
        Where they hold, besides equal stages and free messages: plain sentences.

    Examples
    --------
    >>> from pipelab import theory
    >>> gpipe = theory("gpipe", 4, 8)
    >>> gpipe.bubble, gpipe.formulas["bubble"]
    (9, '(P-1)·(F+B)')
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
        """Idle time of the rank that is idle longest; the same on every rank, but for DualPipe and DualPipeV."""
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
        """What all messages of one step carry, at `message_bytes` each."""
        return self.messages * message_bytes


def equally_idle(
    ranks: int,
    microbatches: int,
    costs: StageCosts,
    bubble: Any,
    formulas: dict[str, str],
    chunks: int = 1,
    **more: Any,
) -> Theory:
    """The form of a schedule that holds every parameter once, and in which all ranks are idle equally long.

    Defaults are those of one stage per rank, where the bubble is the published one. chunks: stages per rank; more: the
    other attributes of `Theory`.
    """
    texts = {"makespan": "M·(F+B) + bubble", "published bubble": formulas["bubble"], "messages": "2·M·(P-1)"}
    attributes = {
        "makespan": microbatches * chunks * costs.both + bubble,
        "idle": (bubble,) * ranks,
        "published_bubble": bubble,
        "parameters": 1,
        "messages": 2 * microbatches * (ranks - 1),
        "formulas": texts | formulas,
        "assumes": "Nothing else.",
    }
    return Theory(**attributes | more)
