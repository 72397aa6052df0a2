"""One rank's part of a schedule, on real tensors: for each kind of instruction there is a method."""

from __future__ import annotations

import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..autograd.saved_tensors import ActivationBytes
from ..autograd.split_backward import SplitBackward
from ..ir import Action, Schedule
from ..ir.action import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, FORWARD, OVERLAP, RECV_B, RECV_F, SEND_B, SEND_F
from ..ir.segments import ORDERS, SegmentOrder
from ..overlap.expert_group import ExpertGroup
from ..overlap.interleave import SegmentedPass, run_segments
from ..overlap.pace import Pace
from ..overlap.segmented import Segmented, outermost
from ..overlap.streams import Streams
from ..simulator.pair_timing import SegmentCosts
from .copies import Copies, sum_replicated_gradients
from .grid import Grid
from .job import StepRecord
from .observers import Device, Memory, Observer, Pacing, Times, Whereabouts
from .p2p import Messages, require_message
from .plain_pass import PlainPass

if TYPE_CHECKING:
    from ..ranks.worker import RankContext
    from ..simulator import Costs
    from .job import Loss


class Executor:
    """Runs one rank's part of a lowered schedule, step after step.

    Parameters
    ----------
    ctx : RankContext
        Of the rank.
    schedule : Schedule
        Lowered.
    modules : dict of int to nn.Module
        Stage -> the module that this rank holds.
    loss : function
        (last stage's output, targets) -> scalar; divided by the number of micro-batches.
    seed : int
        Of dropout: the generator is seeded anew for each (step, stage, micro-batch), so that a single process can
        repeat it.
    pace : Costs, optional
        In milliseconds: what each computation is held to.
    columns : int
        Pipelines side by side, in a `Grid`: this rank does its part for its own column's share.
    overlap : bool
        False: what segmented stages exchange is waited for at once, and so hidden by nothing.
    order : SegmentOrder
        Of the segments of each pair, and of each action alone.
    """

    def __init__(
        self,
        ctx: RankContext,
        schedule: Schedule,
        modules: dict[int, nn.Module],
        loss: Loss,
        seed: int,
        pace: Costs | None,
        columns: int = 1,
        overlap: bool = True,
        order: SegmentOrder = ORDERS["deepseek"],
    ) -> None:
        self.ctx, self.schedule, self.modules, self.loss = ctx, schedule, modules, loss
        self.seed, self.pace, self.order = seed, pace, order
        self.grid = grid = Grid.of(ctx.rank, schedule.num_ranks, columns)
        self.program = schedule.programs[grid.row]
        self.names = {action: str(action) for action in self.program}
        self.last = schedule.num_stages - 1
        link = [ms / 1000 for ms in pace.journeys(schedule.num_stages)] if pace else None
        self.messages = Messages(schedule, grid, ctx.device, link or None)
        self.shapes: dict[int, tuple[torch.dtype, torch.Size]] = {}
        self.copies = Copies(schedule.placement, modules, grid)
        self.group = ExpertGroup.of(grid.neighbours) if columns > 1 else None
        if self.group:
            for module in modules.values():
                for segmented in outermost(module):
                    segmented.spread(self.group)
        self.streams = Streams(blocking=not overlap)
        self.seconds = {  # of segmented stages: what their segments are held to
            stage: SegmentCosts.of(pace, stage, module.exchanges).scaled(1 / 1000)
            for stage, module in modules.items()
            if pace and isinstance(module, Segmented)
        }
        parts = [part for action in self.program for part in action.computes]
        self.split = {(part.stage, part.microbatch) for part in parts if part.kind == BACKWARD_INPUT}
        self.boxed = dict.fromkeys(modules, True)  # stage -> does its split backward need boxes? See SplitBackward
        self.early: dict[str, str] = {}  # parameter -> why its gradient was computed at I, not at W

    def step(
        self, number: int, inputs: torch.Tensor, targets: torch.Tensor | None, begin: float, measure_memory: bool
    ) -> StepRecord:
        """One forward and backward of every micro-batch. Gradients are left in the parameters, summed over copies.

        begin: when the step starts, in seconds of time.monotonic, the same on all ranks.
        """
        batch = [tensor.to(self.ctx.device) for tensor in (inputs, targets) if tensor is not None]
        parameters = (p for module in self.modules.values() for p in module.parameters())
        counter = ActivationBytes([*parameters, *batch]) if measure_memory else None
        self._start_step(number, batch, counter)
        time.sleep(max(0.0, begin - time.monotonic()))
        observers = self._observers(begin)
        with counter.counting() if counter else nullcontext():
            for action in self.program:
                for observer in observers:
                    observer.before(action)
                _METHODS[action.kind](self, action)
                for observer in reversed(observers):
                    observer.after(action)
        for observer in observers:
            observer.finish()
        self.messages.finish_step()
        if self.schedule.training:
            self.copies.sum_gradients()
            for module in self.modules.values():
                sum_replicated_gradients(module, self.group)
        self.ctx.at("between steps")  # whatever the caller does now is no waiting
        return self.record

    def _start_step(self, number: int, batch: list[torch.Tensor], counter: ActivationBytes | None) -> None:
        self.step_number, self.counter, self.record = number, counter, StepRecord()
        self.inputs, *self.targets = (self._shares(whole) for whole in batch)
        self.received: dict[Action, torch.Tensor] = {}
        self.kept: dict[tuple[int, int], SegmentedPass | PlainPass] = {}  # between F and B or I
        self.half_done: dict[tuple[int, int], SegmentedPass | PlainPass] = {}  # between I and W
        self.outgoing: dict[Action, torch.Tensor] = {}
        self.messages.start_step()

    def _shares(self, whole: torch.Tensor) -> list[torch.Tensor]:
        """This column's share of every micro-batch."""
        columns, column = self.grid.columns, self.grid.column
        return [part.chunk(columns)[column] for part in whole.chunk(self.schedule.num_microbatches)]

    def _observers(self, begin: float) -> list[Observer]:
        """Each looks at what those behind it have noted."""
        observers: list[Observer] = [
            Whereabouts(self.ctx, self.messages, self.names, self.step_number * len(self.program))
        ]
        if self.counter:
            observers.append(Memory(self.counter, self.record))
        observers.append(Times(self.streams, self.record))
        if self.pace:
            observers.append(Pacing(Pace(self.pace, begin), self.streams, self.messages, self.record))
        if self.ctx.device.type == "cuda":
            observers.append(Device())
        return observers

    # -- instructions ------------------------------------------------------------------------------------------------

    def receive(self, action: Action) -> None:
        """Wait for a message."""
        self.received[action] = self.messages.receive(action)

    def send(self, action: Action) -> None:
        """Start to send what has been made."""
        self.messages.send(action, self.outgoing.pop(action))

    def forward(self, action: Action) -> None:
        """A stage's output, from its input."""
        self._run(forward=action)

    def backward(self, action: Action) -> None:
        """B, or the I of a split backward: the input's gradient, from the output's."""
        self._run(backward=action)

    def backward_weight(self, action: Action) -> None:
        """The weights' gradients, which I has left out."""
        self.messages.post()
        self.half_done.pop((action.stage, action.microbatch)).weight_gradients()

    def overlap(self, action: Action) -> None:
        """A pair as one action: neither's message leaves before both are done. Their segments come in the run's order.

        All that a stage without segments does stands in the place of attention.
        """
        self._run(*action.parts)

    # -- their passes ------------------------------------------------------------------------------------------------

    def _run(self, forward: Action | None = None, backward: Action | None = None) -> None:
        self.messages.post()
        back = self._begin_backward(backward) if backward else None
        there = self._begin_forward(forward) if forward else None
        weights = backward is not None and backward.kind == BACKWARD
        run_segments(self.order, forward=there, backward=back, weights=weights)
        if forward and there:
            self._end_forward(forward, there)
        if backward and back:
            self._end_backward(backward, back)

    def _begin_forward(self, action: Action) -> SegmentedPass | PlainPass:
        _, stage, m, _ = action
        module, training = self.modules[stage], self.schedule.training
        received = self.inputs[m] if stage == 0 else self._incoming(RECV_F, stage, m)
        seed_microbatch(self.seed, self.step_number, stage, m)
        finish = partial(self._made, stage, m)
        if isinstance(module, Segmented):
            segmented = SegmentedPass(
                module, self.streams, training=training, seconds=self.seconds.get(stage), counter=self.counter
            )
            segmented.begin(received, finish=finish)
            return segmented
        split = SplitBackward(counter=self.counter, boxes=self.boxed[stage]) if (stage, m) in self.split else None
        plain = PlainPass(module, training, split)
        plain.begin(received, finish, differentiate=training and stage > 0)
        return plain

    def _end_forward(self, action: Action, there: SegmentedPass | PlainPass) -> None:
        _, stage, m, _ = action
        if self.schedule.training:
            self.kept[stage, m] = there
        if stage < self.last:
            send = Action(SEND_F, stage, m)
            self.outgoing[send] = there.output.detach()
            self.messages.announce(send, there.output)

    def _made(self, stage: int, m: int, output: torch.Tensor) -> torch.Tensor:
        """What a stage has made, checked; the last stage's is its loss."""
        require_message(output, stage, m, self.shapes.get(stage), travels=stage < self.last)
        self.shapes[stage] = (output.dtype, output.shape)
        return self._loss(output, m) if stage == self.last else output

    def _loss(self, output: torch.Tensor, m: int) -> torch.Tensor:
        """This micro-batch's share of the loss. Inference keeps the output, too, and may have no loss."""
        if not self.schedule.training:
            self.record.outputs[m] = output
        if not self.targets:
            return output
        share = self.loss(output, self.targets[0][m]) / (self.schedule.num_microbatches * self.grid.columns)
        self.record.loss += float(share.detach())
        return share

    def _begin_backward(self, action: Action) -> SegmentedPass | PlainPass:
        _, stage, m, _ = action
        back, gradient = self.kept.pop((stage, m)), None
        if stage < self.last:
            gradient = self._incoming(RECV_B, stage, m)
            self.messages.sent(Action(SEND_F, stage, m))  # its gradient is here: it has long arrived
        back.begin_backward(gradient)
        return back

    def _end_backward(self, action: Action, back: SegmentedPass | PlainPass) -> None:
        kind, stage, m, _ = action
        self._tell_early(stage, back)
        if kind == BACKWARD_INPUT:
            self.half_done[stage, m] = back
            if isinstance(back, PlainPass):
                self.boxed[stage] = not back.once
        if stage > 0:
            if back.gradient is None:
                raise ValueError(
                    f"stage {stage}'s output does not depend on its input: no gradient for stage {stage - 1}"
                )
            self.outgoing[Action(SEND_B, stage, m)] = back.gradient

    def _tell_early(self, stage: int, back: SegmentedPass | PlainPass) -> None:
        if back.early:
            names: dict[torch.Tensor, str] = {p: name for name, p in self.modules[stage].named_parameters()}
            self.early |= {f"stage {stage}: {names[p]}": why for p, why in back.early.items() if p in names}

    def _incoming(self, kind: str, stage: int, m: int) -> torch.Tensor:
        """What a message brought, or what the neighbouring stage on this very rank made."""
        action = Action(kind, stage, m)
        if action in self.received:
            return self.received.pop(action)
        made = Action(SEND_F, stage - 1, m) if kind == RECV_F else Action(SEND_B, stage + 1, m)
        return self.outgoing.pop(made)


#: Functions, not an executor's bound methods: in a circle with its process groups, it would outlive its work.
_METHODS = {
    RECV_F: Executor.receive,
    FORWARD: Executor.forward,
    SEND_F: Executor.send,
    RECV_B: Executor.receive,
    BACKWARD: Executor.backward,
    BACKWARD_INPUT: Executor.backward,
    BACKWARD_WEIGHT: Executor.backward_weight,
    SEND_B: Executor.send,
    OVERLAP: Executor.overlap,
}


def seed_microbatch(seed: int, step: int, stage: int, microbatch: int) -> None:
    """Seed torch's generator for one forward, in the pipeline as in the single process that it is compared with."""
    mixed = (((seed * 1_000_003 + step) * 1_000_003 + stage) * 1_000_003 + microbatch) % 2**63
    # Not torch.manual_seed: that costs 0.2 ms, as it notes the stack for devices that aren't there.
    torch.default_generator.manual_seed(mixed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(mixed)
