"""What one rank does in a run, from building its stages to the check against a single process."""

from __future__ import annotations

import copy
import socket
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import nn

from ..autograd.split_backward import SplitBackward
from ..models import loss as cross_entropy
from ..overlap.pace import sharpen_sleep
from ..overlap.segmented import Segmented
from .executor import Executor
from .grid import Grid
from .job import Job, ReferenceCheck, Report, StepRecord
from .single_process import (
    Gradients,
    compare_inference,
    compare_training,
    end_step,
    gradients_of,
    infer_in_one_process,
    make_optimizers,
    train_in_one_process,
)
from .stages import require_separate

if TYPE_CHECKING:
    from ..ranks.worker import RankContext
    from .job import Batch, Loss, Optimizer, StageSource


_LEAD = 0.005  # seconds from agreeing on a moment to that moment: all ranks must have heard of it


def train(ctx: RankContext, job: Job) -> Report:
    """Build this rank's stages, train, and (on rank 0) repeat everything in one process for comparison."""
    schedule, rank = job.schedule, ctx.rank
    stages = job.stages if isinstance(job.stages, Sequence) else job.stages()
    batches = job.batches if isinstance(job.batches, Sequence) else job.batches()
    row = Grid.of(rank, schedule.num_ranks, job.expert_ranks).row
    modules = {stage: _module(stages, stage, job, ctx.device) for stage in schedule.placement.stages_of(row)}
    require_separate(modules.items())
    # Copied before training changes them: the reference starts from the same weights.
    originals = copy.deepcopy(list(stages)) if job.check and rank == 0 else []
    loss = _one_number(job.loss or cross_entropy)
    optimizer = job.optimizer or default_optimizer
    executor = Executor(ctx, schedule, modules, loss, job.seed, job.pace, job.expert_ranks, job.overlap, job.order)
    optimizers = make_optimizers(list(modules.values()), optimizer)  # of what the executor has left on this rank
    _warm(executor, batches[0], job.rehearse)
    dtypes = {str(p.dtype).removeprefix("torch.") for module in modules.values() for p in module.parameters()}
    exchanges = {stage: module.exchanges for stage, module in modules.items() if isinstance(module, Segmented)}
    report = Report(device=ctx.device.type, backend=ctx.backend, dtypes=dtypes, exchanges=exchanges)
    gradients: Gradients = {}
    ctx.at("ready", done=0, total=len(batches) * len(executor.program))
    one_machine = _one_machine(ctx)
    for number, (inputs, targets) in enumerate(batches):
        begin = _common_begin(ctx, one_machine) if number == 0 or job.pace else 0.0
        report.steps.append(executor.step(number, inputs, targets, begin, measure_memory=number == 0))
        if job.pace:
            dist.barrier()  # a rank that is done takes no core from those that are still held to their pace
        ctx.at("the optimizer")
        if not schedule.training:
            continue
        if number == 0 and job.check:
            gradients = gradients_of(modules.items())
        end_step(modules.values(), optimizers)
    for step in report.steps:
        step.outputs = {m: output.cpu() for m, output in step.outputs.items()}
    report.bytes_sent, report.early = executor.messages.bytes_sent, executor.early
    report.fingerprints = executor.copies.fingerprints() if schedule.training else {}
    if job.check:
        report.check = _check(ctx, job, originals, batches, loss, optimizer, gradients, report.steps)
    return report


def default_optimizer(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    """AdamW at a rate that suits small transformers."""
    return torch.optim.AdamW(parameters, lr=3e-3)


def _one_number(loss: Loss) -> Loss:
    """The same loss; ValueError where it is not one number."""

    def checked(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        value = loss(output, target)
        if not isinstance(value, torch.Tensor) or value.numel() != 1:
            what = f"of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else repr(value)
            raise ValueError(f"the loss must be a tensor with one number, such as a mean; got one {what}")
        return value

    return checked


def _module(stages: Sequence[StageSource], stage: int, job: Job, device: torch.device) -> nn.Module:
    source = stages[stage]
    torch.manual_seed(job.seed + stage)  # a function that makes a stage makes the same one on every rank
    module = source if isinstance(source, nn.Module) else source()
    if not isinstance(module, nn.Module):
        raise TypeError(f"stage {stage}'s function must return an nn.Module; it returned {module!r}")
    return module.to(device=device, dtype=job.dtype).train(job.schedule.training)


def _warm(executor: Executor, batch: Batch, rehearse: bool) -> None:
    """Do now what the first action alone would pay for: kernels' first calls, memory's first touch.

    A user's module is not run outside the schedule: it might count its calls.
    """
    ctx, splits = executor.ctx, bool(executor.split)
    ctx.at("warming up")
    sharpen_sleep()
    layers = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64)).to(ctx.device)
    _rehearse(layers, torch.ones(8, 64, device=ctx.device), splits)
    if not rehearse:
        return
    inputs = batch[0].chunk(executor.schedule.num_microbatches)[0].to(ctx.device)
    for _ in range(2):
        for stage, module in executor.modules.items():
            matrix = next(p for p in module.parameters() if p.dim() > 1)
            middle = matrix.new_zeros((*inputs.shape, matrix.shape[-1])).requires_grad_()
            _rehearse(copy.deepcopy(module), middle if stage else inputs, splits)


def _rehearse(module: nn.Module, received: torch.Tensor, splits: bool) -> None:
    """One forward and backward, for nothing."""
    split = SplitBackward()
    with split.keeping() if splits else nullcontext():
        output = module(received).sum()
    if splits:
        split.input_gradient(output, None, received)
        split.weight_gradients()
    else:
        output.backward()


def _one_machine(ctx: RankContext) -> bool:
    """Do all ranks share a clock?"""
    hosts: list[Any] = [None] * ctx.size
    dist.all_gather_object(hosts, socket.gethostname())
    return len(set(hosts)) == 1


def _common_begin(ctx: RankContext, one_machine: bool) -> float:
    """A moment shortly ahead, in time.monotonic, the same for all ranks; on several machines only nearly the same."""
    dist.barrier()
    if not one_machine:  # their clocks don't compare: leave the barrier together instead
        return time.monotonic() + _LEAD
    moment = torch.tensor([time.monotonic() + _LEAD], dtype=torch.float64, device=ctx.device)
    dist.broadcast(moment, src=0)
    return float(moment)


def _check(
    ctx: RankContext,
    job: Job,
    originals: list[StageSource],
    batches: Sequence[Batch],
    loss: Loss,
    optimizer: Optimizer,
    gradients: Gradients,
    steps: list[StepRecord],
) -> ReferenceCheck | None:
    """On rank 0: do everything with the whole model in this one process, and compare. None on the other ranks."""
    ctx.at("checking against one process" if ctx.rank == 0 else "waiting for the check on rank 0")
    mine = gradients, [step.loss for step in steps], [step.outputs for step in steps]
    everything: list[Any] | None = [None] * ctx.size if ctx.rank == 0 else None
    dist.gather_object(mine, everything)
    if everything is None:
        return None
    modules = [_module(originals, stage, job, ctx.device) for stage in range(len(originals))]
    require_separate(enumerate(modules))
    here = [(x.to(ctx.device), target if target is None else target.to(ctx.device)) for x, target in batches]
    all_gradients, all_losses, all_outputs = zip(*everything, strict=True)
    losses = [sum(step) for step in zip(*all_losses, strict=True)]
    microbatches = job.schedule.num_microbatches
    if not job.schedule.training:
        expected_losses, expected_outputs = infer_in_one_process(modules, here, microbatches, loss, job.seed)
        outputs = [{m: o for part in step for m, o in part.items()} for step in zip(*all_outputs, strict=True)]
        return compare_inference(outputs, expected_outputs, losses, expected_losses)
    expected_losses, expected = train_in_one_process(modules, here, microbatches, loss, optimizer, job.seed)
    merged = {key: gradient for theirs in all_gradients for key, gradient in theirs.items()}
    return compare_training(merged, expected, losses, expected_losses)
