"""Pace: hold every action to a prescribed duration, so that a few cores show the timing of many GPUs."""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from ..ir import Action
from ..simulator import Costs

_PR_SET_TIMERSLACK = 29
_SETTLE, _SETTLE_AT_MOST = 0.15, 0.002  # of an action's duration, and in seconds: see Pace.start
_OVERSHOOT = 0.00006  # seconds that a sleep is usually too long
_ALREADY_THERE = 0.0002  # seconds: a receive that returns this soon found its message waiting


def action_ms(action: Action, costs: Costs) -> Any:
    """How long an action takes at these costs."""
    if action.parts:
        forward, backward = action.parts
        return costs.pair(forward.stage, backward.kind, backward.stage)
    return costs.duration(action.kind, action.stage)


def sharpen_sleep() -> None:
    """Ask the system not to lengthen this process's sleeps in order to save power: Linux adds up to 0.05 ms."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)  # ns


class Pace:
    """One rank's clock for one step, in seconds of `time.monotonic`.

    An action's target start is the later of the previous action's target end on this rank and the real arrival of the
    message that it needs; it is then held until its target start plus its duration. Starts still depend on real
    messages, so that this measures; but the operating system's small delays don't add up, as real starts would let
    them.
    """

    def __init__(self, costs: Costs, begin: float) -> None:
        self.costs = costs
        self.target = begin
        self.lateness: list[float] = []  # seconds by which the real work of each action exceeded its target end
        self.segments: list[tuple[float, float]] = []  # see `follow`

    def received(self, asked: float, arrived: float) -> None:
        """Note when a receive was asked for, and when its message arrived."""
        if arrived - asked > _ALREADY_THERE:
            self.target = max(self.target, arrived)

    def start(self, action: Action) -> None:
        """Wait a little before the action's real work, unless this rank is late.

        Many actions of a paced run end at one moment. On few cores, one rank's next work would hold up the messages of
        the others, as GPUs would not.
        """
        self.duration = action_ms(action, self.costs) / 1000
        remaining = self.target + min(_SETTLE * self.duration, _SETTLE_AT_MOST) - time.monotonic()
        if remaining > 0 and not (self.lateness and self.lateness[-1]):
            time.sleep(remaining)

    def hold(self) -> None:
        """Wait, after the real work of the action that was started, until its time is over."""
        self.target += self.duration
        remaining = self.target - time.monotonic()
        self.lateness.append(max(0.0, -remaining))
        sleep_until(self.target)

    def follow(self, end: float, segments: Sequence[tuple[float, float]]) -> None:
        """In place of `hold`, for an action whose segments were held one by one.

        end      when it was over
        segments   (seconds that it was held to, seconds of lateness) of each computation
        """
        self.target = end
        self.segments += segments

    def worst(self) -> float:
        """The largest lateness, in seconds."""
        return max([*self.lateness, *(late for _, late in self.segments)], default=0.0)

    def kept(self) -> bool:
        """False if the cores could not keep the pace.

        That is, if lateness grew over the step by more than a tenth of an action, or if segments, whose lateness can't
        grow where they wait for other ranks' rows, were late by more than a tenth of their time.
        """
        if sum(late for _, late in self.segments) > 0.1 * sum(seconds for seconds, _ in self.segments):
            return False
        half = len(self.lateness) // 2
        if not half:
            return True
        growth = fmean(self.lateness[half:]) - fmean(self.lateness[:half])
        durations = (self.costs.duration(kind, 0) for kind in "FB")
        return growth <= 0.1 * fmean(durations) / 1000


def sleep_until(moment: float) -> None:
    """Sleep, and spin only through the last microseconds, which no sleep can hit."""
    remaining = moment - _OVERSHOOT - time.monotonic()
    if remaining > 0:
        time.sleep(remaining)
    while time.monotonic() < moment:
        pass
