"""What goes on beside a rank's program: telling where it is, keeping pace, counting memory, noting times."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from ..autograd.saved_tensors import ActivationBytes
from ..ir import Action
from ..ir.action import RECV_B, RECV_F
from ..overlap.pace import Pace
from ..overlap.streams import Streams
from .job import StepRecord
from .p2p import Messages

if TYPE_CHECKING:
    from ..ranks.worker import RankContext


class Observer:
    """Is told before and after each action of one step, and at its end. The first to begin is the last to end."""

    def before(self, action: Action) -> None:
        """The rank is about to do this."""

    def after(self, action: Action) -> None:
        """The rank has done it."""

    def finish(self) -> None:
        """The rank has come to its program's end."""


class Whereabouts(Observer):
    """Tells whoever watches the ranks where this one is. Sends are not worth a word: they take no time."""

    def __init__(self, ctx: RankContext, messages: Messages, names: dict[Action, str], done: int) -> None:
        self.ctx, self.messages, self.names, self.done = ctx, messages, names, done

    def before(self, action: Action) -> None:
        if action.kind in (RECV_F, RECV_B):
            self.ctx.at(self.names[action], waiting=True, waits_for=self.messages.source(action), done=self.done)
        elif action.computes:
            self.ctx.at(self.names[action], done=self.done)
        self.done += 1

    def finish(self) -> None:
        self.ctx.at("end of the step", waiting=True, done=self.done)


class Memory(Observer):
    """Notes how many bytes are kept for backwards after each computation, and how many it has freed."""

    def __init__(self, counter: ActivationBytes, record: StepRecord) -> None:
        self.counter, self.record = counter, record

    def before(self, action: Action) -> None:
        self.freed_before = self.counter.freed

    def after(self, action: Action) -> None:
        if action.computes:
            _, _, end = self.record.spans[-1]
            self.record.activation_bytes.append((end, self.counter.now))
            self.record.freed_bytes.append((end, action, self.counter.freed - self.freed_before))

    def finish(self) -> None:
        self.record.peak_bytes = self.counter.peak


class Times(Observer):
    """Notes when each computation began and ended, and the segments that it had."""

    def __init__(self, streams: Streams, record: StepRecord) -> None:
        self.streams, self.record = streams, record

    def before(self, action: Action) -> None:
        self.start = time.monotonic_ns()

    def after(self, action: Action) -> None:
        if action.computes:
            self.record.segments += [(action, span) for span in self.streams.take()]
            self.record.spans.append((action, self.start, time.monotonic_ns()))


class Pacing(Observer):
    """Holds each computation to its prescribed duration."""

    def __init__(self, pace: Pace, streams: Streams, messages: Messages, record: StepRecord) -> None:
        self.pace, self.streams, self.messages, self.record = pace, streams, messages, record

    def before(self, action: Action) -> None:
        if action.computes:
            self.pace.start(action)
            self.streams.clock = self.pace.target
        else:
            self.asked = time.monotonic()

    def after(self, action: Action) -> None:
        if action.kind in (RECV_F, RECV_B):
            self.pace.received(self.asked, self.messages.arrived)
        elif action.computes and self.streams.spans:
            self.pace.follow(self.streams.clock, self.streams.lateness)
        elif action.computes:
            self.pace.hold()

    def finish(self) -> None:
        self.record.lateness, self.record.kept_pace = self.pace.worst(), self.pace.kept()


class Device(Observer):
    """Waits until a GPU has done what it was given.

    Only on the current stream: on others it may be receiving what another rank sends after this computation only.
    """

    def after(self, action: Action) -> None:
        if action.computes:
            torch.cuda.current_stream().synchronize()
