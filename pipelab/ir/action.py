"""Action: one thing that a rank does, in the notation of torch.distributed.pipelining."""

from __future__ import annotations

import re
from typing import NamedTuple

FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, BACKWARD = "F", "I", "W", "B"
COMPUTES = (FORWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, BACKWARD)
OVERLAP = "OVERLAP_F_B"
SEND_F, RECV_F, SEND_B, RECV_B = "SEND_F", "RECV_F", "SEND_B", "RECV_B"
MESSAGES = (SEND_F, RECV_F, SEND_B, RECV_B)

_PLAIN = re.compile(r"(\d+)(SEND_F|RECV_F|SEND_B|RECV_B|F|I|W|B)(\d+)", re.ASCII)
_PAIR = re.compile(r"\(([^;()]+);([^;()]+)\)OVERLAP_F_B")


class Action(NamedTuple):
    """One action of one rank. It prints as PyTorch prints it: ``2F3`` is stage 2, forward, micro-batch 3.

    Parameters
    ----------
    kind : str
        ``F`` forward · ``I`` backward for the input · ``W`` backward for the weights · ``B`` both at once ·
        ``OVERLAP_F_B`` a forward and a backward run as one · ``SEND_F RECV_F SEND_B RECV_B`` messages
        (``2RECV_F3``: stage 2 receives its input, the activation of micro-batch 3).
    stage, microbatch : int
        Counted from 0; of an overlapped pair, those of its forward.
    parts : tuple of Action
        The two actions of an overlapped pair, else empty.

    Examples
    --------
    >>> Action("F", 2, 3), str(Action.parse("(0F7;3B2)OVERLAP_F_B"))
    (2F3, '(0F7;3B2)OVERLAP_F_B')
    """

    kind: str
    stage: int
    microbatch: int
    parts: tuple[Action, ...] = ()

    def __str__(self) -> str:
        if self.parts:
            return f"({';'.join(map(str, self.parts))}){self.kind}"
        return f"{self.stage}{self.kind}{self.microbatch}"

    def __repr__(self) -> str:
        return str(self)

    @property
    def computes(self) -> tuple[Action, ...]:
        """The plain compute actions in it: a pair's two, or itself; none for a message."""
        return self.parts or (() if self.kind in MESSAGES else (self,))

    @property
    def is_pair(self) -> bool:
        """Is it an overlapped pair, of one F and one B or I, in this order?"""
        kinds = tuple(part.kind for part in self.parts if not part.parts)
        return self.kind == OVERLAP and kinds in ((FORWARD, BACKWARD), (FORWARD, BACKWARD_INPUT))

    @classmethod
    def overlap(cls, forward: Action, backward: Action) -> Action:
        """The overlapped pair of a forward and a backward (``B`` or ``I``); ValueError for anything else."""
        pair = cls(OVERLAP, forward.stage, forward.microbatch, (forward, backward))
        if not pair.is_pair:
            raise ValueError(f"an overlapped pair is one F and one B or I, in this order; got {forward} and {backward}")
        return pair

    @classmethod
    def parse(cls, text: str) -> Action:
        """Read what ``str(action)`` wrote; ValueError says what was expected."""
        text = text.strip()
        if pair := _PAIR.fullmatch(text):
            return cls.overlap(cls.parse(pair[1]), cls.parse(pair[2]))
        if plain := _PLAIN.fullmatch(text):
            return cls(plain[2], int(plain[1]), int(plain[3]))
        examples = "2F3, 0B1, 1I0, 1W0, 2SEND_F3 or (0F7;3B2)OVERLAP_F_B"
        raise ValueError(f"{text!r} is not an action; actions look like {examples}")
