"""Rank server: one rank of `serve`, with its experts at work on given tokens, timed, and moved."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..eplb import rebalance
from ..moe.layer import seeded_expert
from ..overlap.expert_group import ExpertGroup
from ..overlap.pace import sharpen_sleep, sleep_until
from .fixed_routing import routes_of
from .migration import migrate
from .placed_experts import PlacedExperts
from .serving_job import ServingJob, ServingReport, WindowReport

if TYPE_CHECKING:
    from ..ranks.worker import RankContext


class Watched(PlacedExperts):
    """Experts whose computing time is measured, and that may be held to a pace: a number of µs per token.

    used        seconds of CPU in this thread that the last computation took; on a GPU, of wall time
    took        seconds of wall time, with what the pace added
    held, late  seconds since `forget` that the pace gave, and by which the real work took longer
    """

    def __init__(self, *arguments: Any, token_us: float, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.token_us, self.used, self.took = token_us, 0.0, 0.0
        self.forget()

    def forget(self) -> None:
        self.held = self.late = 0.0

    def compute(self, rows: Tensor, counts: list[int]) -> Tensor:
        began, clock = time.monotonic(), _clock(rows.device)
        outputs = super().compute(rows, counts)
        self.used = _clock(rows.device) - clock
        if self.token_us:
            until = began + len(rows) * self.token_us / 1e6
            self.held += until - began
            self.late += max(0.0, time.monotonic() - until)
            sleep_until(until)
        self.took = time.monotonic() - began
        return outputs


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.monotonic()
    return time.thread_time()


class Server:
    """Serves all windows of a job, as one of the ranks."""

    def __init__(self, ctx: RankContext, job: ServingJob) -> None:
        sharpen_sleep()
        self.ctx, self.job, self.plan = ctx, job, job.plans[0]
        group = ExpertGroup.of()
        token_us = float(job.pace.forward) if job.pace else 0.0
        self.layers = [
            Watched(partial(self._expert, layer), self.plan, layer=layer, group=group, token_us=token_us)
            for layer in range(self.plan.sizes.layers)
        ]
        self.dense = cache(self._expert)  # all experts, as one process would have them, for the check
        self.prediction = np.zeros(job.counts.shape[1:])
        shape = (int(job.counts[0, 0].sum()), job.width)
        generator = torch.Generator().manual_seed(job.seed)
        self.inputs = torch.randn(shape, generator=generator).to(ctx.device, getattr(torch, job.dtype))
        self.own = torch.arange(len(self.inputs)).tensor_split(ctx.size)[ctx.rank]

    def _expert(self, layer: int, number: int) -> nn.Module:
        expert = seeded_expert(self.job.width, self.job.hidden, self.job.seed + layer, number)
        return expert.to(self.ctx.device, getattr(torch, self.job.dtype))

    @torch.inference_mode()
    def run(self) -> ServingReport:
        self.ctx.at("ready", done=0, total=len(self.job.counts) * self.job.steps)
        windows = [self._window(window) for window in range(len(self.job.counts))]
        expert_bytes = self.layers[0].weights_of(self.layers[0].first).nbytes
        return ServingReport(windows, expert_bytes, f"{self.ctx.backend} on {self.ctx.device.type}")

    def _window(self, window: int) -> WindowReport:
        report = WindowReport(self.plan)
        self._plan(window, report)
        if report.plan is not self.plan:
            self._move(window, report)
        routes = torch.from_numpy(routes_of(self.job.counts[window], self.job.seed + window))
        mine = [route[self.own, None].to(self.ctx.device) for route in routes]
        if window == 0:
            self._step(mine)  # the very first step warms up, and is not reported
        for layer in self.layers:
            layer.forget()
        for step in range(self.job.steps):
            self.ctx.at(f"window {window}, step {step}", done=window * self.job.steps + step)
            dist.barrier()
            began = time.monotonic()
            outputs = self._step(mine)
            report.steps.append(time.monotonic() - began)
            report.compute.append([layer.used for layer in self.layers])
            report.wall.append([layer.took for layer in self.layers])
        self.ctx.at(f"window {window}, served", done=(window + 1) * self.job.steps)
        report.held, report.late = (sum(getattr(each, name) for each in self.layers) for name in ("held", "late"))
        report.tokens = [sum(layer.dispatched.rows) for layer in self.layers]
        report.sent_bytes = sum(map(self._rows_to_others, self.layers)) * outputs[:1].nbytes
        if self.job.check:
            report.error = self._error(outputs, routes)
        self.prediction = self.job.predictor.update(np.stack([_experts_seen(layer) for layer in self.layers]))
        return report

    def _plan(self, window: int, report: WindowReport) -> None:
        """Put down the plan for this window. Each rank finds the same one, as all have seen the same loads."""
        if window in self.job.when:
            self.ctx.at(f"planning for window {window}")
            began, sizes = time.monotonic(), self.plan.sizes
            given: dict[str, Any] = {"policy": str(self.job.policy), "max_moved": self.job.max_moved}
            given["previous"] = self.plan if self.job.policy == "incremental" else None
            fit = sizes.replicas, sizes.gpus, sizes.nodes, sizes.groups
            report.plan = rebalance(self.prediction, *fit, **given)
            report.planning = time.monotonic() - began
        elif len(self.job.plans) > 1:
            report.plan = self.job.plans[window]

    def _move(self, window: int, report: WindowReport) -> None:
        self.ctx.at(f"moving experts for window {window}")
        dist.barrier()
        began = time.monotonic()
        found = migrate(self.layers, report.plan)
        if self.job.pace is not None:
            link = replace(self.job.pace, message_bytes=max(found.bytes, found.sent_bytes))
            sleep_until(began + float(link.message(0)) / 1e6)
        report.moving, report.moved_slots, report.moved_bytes = time.monotonic() - began, found.slots, found.bytes
        report.changed, self.plan = True, report.plan

    def _step(self, routes: list[Tensor]) -> Tensor:
        """All layers, each added to its input."""
        x = self.inputs[self.own.to(self.ctx.device)]
        for layer, experts in zip(self.layers, routes, strict=True):
            x = x + layer(x, experts)
        return x

    def _rows_to_others(self, layer: Watched) -> int:
        """Rows that this rank sends to others, in the dispatch and back in the combine."""
        send, receive, rank = layer.dispatched.send, layer.dispatched.receive, self.ctx.rank
        return sum(send) - send[rank] + sum(receive) - receive[rank]

    def _error(self, outputs: Tensor, routes: Tensor) -> float | None:
        """On rank 0: how far off are all ranks' outputs from those of one process that has each expert once?"""
        gathered: list[Any] | None = [None] * self.ctx.size if self.ctx.rank == 0 else None
        dist.gather_object(outputs.cpu(), gathered)
        if gathered is None:
            return None
        self.ctx.at("comparing with one process")
        x = self.inputs
        for layer, route in enumerate(routes.to(x.device)):
            added = torch.empty_like(x)
            for number in range(self.job.counts.shape[2]):
                of = route == number
                added[of] = self.dense(layer, number)(x[of])
            x = x + added
        found, wanted = torch.cat(gathered).double(), x.cpu().double()
        return float((found - wanted).abs().max() / wanted.abs().max())


def _experts_seen(layer: Watched) -> np.ndarray:
    """How many tokens each expert got from all ranks, in all its replicas: [experts]."""
    experts = layer.plan.physical_to_logical[layer.layer]
    return np.bincount(experts, layer.dispatched.loads.cpu().numpy(), layer.plan.sizes.experts)
