"""The peer: torch.distributed.pipelining on the same ranks, and its stages held to a pace."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import nn
from torch.distributed.pipelining import (
    PipelineStage,
    Schedule1F1B,
    ScheduleDualPipeV,
    ScheduleGPipe,
    ScheduleInterleaved1F1B,
    ScheduleInterleavedZeroBubble,
    ScheduleZBVZeroBubble,
)
from torch.distributed.pipelining.schedules import PipelineScheduleSingle

from pipelab import Costs

PEERS = {
    "gpipe": ScheduleGPipe,
    "1f1b": Schedule1F1B,
    "interleaved": ScheduleInterleaved1F1B,
    "zb-h1": ScheduleInterleavedZeroBubble,
    "zb-v": ScheduleZBVZeroBubble,
    "dualpipe-v": ScheduleDualPipeV,
}


class Held(PipelineStage):
    """A stage whose every action lasts what the costs (in ms) say, at least, counted from its start."""

    costs: Costs | None = None

    def _hold(self, kind: str, began: float) -> None:
        if self.costs is not None:
            until = began + self.costs.duration(kind, self.stage_index) / 1000
            time.sleep(max(0.0, until - time.monotonic()))

    def forward_one_chunk(self, *args: Any, **kwargs: Any) -> Any:
        began = time.monotonic()
        result = super().forward_one_chunk(*args, **kwargs)
        self._hold("F", began)
        return result

    def backward_one_chunk(self, bwd_chunk_id: int, loss: Any = None, full_backward: bool = True, **kwargs: Any) -> Any:
        began = time.monotonic()
        super().backward_one_chunk(bwd_chunk_id, loss=loss, full_backward=full_backward, **kwargs)
        self._hold("B" if full_backward else "I", began)

    def backward_weight_one_chunk(self, bwd_chunk_id: int, **kwargs: Any) -> Any:
        began = time.monotonic()
        super().backward_weight_one_chunk(bwd_chunk_id, **kwargs)
        self._hold("W", began)


class Peer:
    """The same schedule, by torch: `step` does a step on this rank and returns its share of the loss."""

    def __init__(
        self, ctx: Any, name: str, modules: dict[int, nn.Module], stages: int, microbatches: int, loss: Any, costs: Any
    ) -> None:
        held = [Held(module, stage, stages, ctx.device) for stage, module in sorted(modules.items())]
        for stage in held:
            stage.costs = costs
        single = issubclass(PEERS[name], PipelineScheduleSingle)
        self.schedule = PEERS[name](held[0] if single else held, microbatches, loss_fn=loss)
        self.first, self.last = 0 in modules, stages - 1 in modules

    def step(self, inputs: torch.Tensor, targets: torch.Tensor) -> float:
        losses: list[torch.Tensor] | None = [] if self.last else None
        given = (inputs,) if self.first else ()
        self.schedule.step(*given, target=targets if self.last else None, losses=losses, return_outputs=False)
        return float(torch.stack(losses).detach().mean()) if losses else 0.0
