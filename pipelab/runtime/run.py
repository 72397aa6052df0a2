"""Schedule + stages on real ranks -> Run, which holds the measured Timeline. What is asked for is checked here."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..amounts import at_least
from ..ir import Schedule, SegmentOrder, lower
from ..ranks.pool import Ranks
from ..ranks.progress import Progress
from ..simulator.costs import Costs, require_costs
from ..simulator.pair_timing import Order
from .job import Job, Report
from .result import Run, collect
from .stages import may_exchange, require_separate

if TYPE_CHECKING:
    from ..ranks.worker import RankContext
    from .job import Batch, Loss, Optimizer, StageSource


#: What every rank of a run would import, imported once in the process that they are forked from.
_PRELOAD = ("pipelab.models.text", "pipelab.models.transformer", "pipelab.runtime.training")
_A_BATCH = "a batch is a pair of tensors, (inputs, targets)"


def run(
    schedule: Schedule,
    stages: Sequence[StageSource] | None = None,
    batches: Batch | Sequence[Batch] | None = None,
    *,
    loss: Loss | None = None,
    optimizer: Optimizer | None = None,
    steps: int | None = None,
    pace: Costs | None = None,
    expert_ranks: int = 1,
    overlap: bool = True,
    order: Order | None = None,
    check: bool = True,
    device: str | None = None,
    dtype: Any = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    timeout: float = 600,
    stall: float = 5,
) -> Run:
    """Train on real ranks: one process per rank, real tensors, real autograd, real messages.

    A forward-only schedule (see :func:`pipelab.ir.forward_only`) infers instead, and the Run holds the outputs.

    Parameters
    ----------
    schedule : Schedule
    stages : list of nn.Module or function, optional
        For each stage a module, or a function that makes it (called on the rank that holds it). Default: a small
        transformer on bytes.
    batches : pair of Tensor, or list of pairs, optional
        (inputs, targets) for every step, or a list of such pairs, one per step; each is cut along its first dimension
        into the schedule's micro-batches. For inference targets may be None, or batches just tensors of inputs.
        Default: the sources of Python's standard library.
    loss : function, optional
        (last stage's output, targets) -> mean over the micro-batch. Default: cross entropy.
    optimizer : function, optional
        Parameters -> optimizer. Default: AdamW at 3e-3.
    steps : int, optional
        Default: 1, or the length of the list of batches.
    pace : Costs, optional
        Every action does its real work and is then held to this duration. Costs without a unit are in ms.
    expert_ranks : int
        So many ranks share each place in the pipeline: layers of experts (:class:`pipelab.moe.MoE`) are spread over
        them, all else is copied, and each takes an equal share of every micro-batch. The Run's figures per rank, and
        its timelines, are then of the first of these pipelines. Dropout is drawn by each rank for its own share, so
        that the check can't repeat it.
    overlap : bool
        False: what segmented stages exchange is waited for at once, so that no computation hides it.
    order : SegmentOrder, str, or sequence of str, optional
        In which order segmented stages do their segments, above all in overlapped pairs: "deepseek", "megatron", or a
        list of a layer's segments. Default: DeepSeek's.
    check : bool
        Compare losses and every gradient, or the outputs of inference, with one process's.
    device : {"cuda", "cpu"}, optional
        Default: CUDA where there is a GPU for every rank, else the CPU.
    dtype : torch.dtype, optional
        Of the model. Default: float32.
    seed : int
        Of parameters, dropout and the default batches.
    progress : function, optional
        Called with a Progress at most ten times a second.
    cancel : threading.Event, optional
        Ends the run when it is set.
    timeout, stall : float
        Seconds until the run, or ranks that all wait for each other, are given up.

    Returns
    -------
    Run

    Raises
    ------
    ValueError
        For what can't run; of a schedule, ScheduleError.
    RankError
        RankDied, Deadlock, RankTimeout or Cancelled. No process is left behind.
    Exception
        A stage's own exception, with its rank's traceback in the notes.

    Examples
    --------
    >>> from pipelab import run
    >>> from pipelab.schedules import gpipe
    >>> result = run(gpipe(2, 4))
    >>> result.gradients_equal
    True
    """
    pressed = time.monotonic()
    job = _prepared(
        Job(
            schedule=schedule,
            stages=stages,
            batches=batches,
            steps=steps,
            loss=loss,
            optimizer=optimizer,
            pace=pace,
            check=check,
            seed=seed,
            dtype=dtype,
            expert_ranks=expert_ranks,
            overlap=overlap,
            order=order,
        )
    )
    if job.pace is not None:  # a message that is held back for so long is no deadlock
        stall += max(job.pace.journeys(schedule.num_stages), default=0) / 1000

    with Ranks(schedule.num_ranks * job.expert_ranks, device=device, preload=_PRELOAD) as ranks:
        reports = ranks.run(_train, job, timeout=timeout, stall=stall, progress=progress, cancel=cancel)
    return collect(schedule, job, reports, pressed)


def _train(ctx: RankContext, job: Job) -> Report:
    from .training import train  # torch is needed on the ranks only

    return train(ctx, job)


def _prepared(job: Job) -> Job:
    """The same, ready to be sent. Everything that can be wrong is found here, before a process is started."""
    schedule = job.schedule
    lowered = lower(schedule)
    seed, expert_ranks = at_least(-(2**63), job.seed, "seed"), at_least(1, job.expert_ranks, "expert_ranks")
    if seed >= 2**63:
        raise ValueError(f"seed must fit in 64 bits; got {seed}")
    for name, function in (("loss", job.loss), ("optimizer", job.optimizer)):
        if function is not None and not callable(function):
            raise ValueError(f"{name} must be a function; got {function!r}")
    if job.dtype is not None and not getattr(job.dtype, "is_floating_point", False):
        raise ValueError(f"dtype must be a floating-point type, such as torch.float64; got {job.dtype!r}")
    pace = job.pace
    if pace is not None:
        pace = require_costs(pace, "pace").in_unit("ms")
        pace.require_stages(schedule.num_stages)
        if pace.blocking_sends:
            raise ValueError("blocking_sends can be simulated only: a real run always sends asynchronously")
    stages = job.stages
    if stages is not None:
        stages = _listed(stages, "stages must be a list of modules, or of functions that make them")
        if len(stages) != schedule.num_stages:
            raise ValueError(f"{schedule.name} has {schedule.num_stages} stages; the list of stages has {len(stages)}")
        if wrong := [stage for stage in stages if not callable(stage)]:
            raise ValueError(f"a stage must be an nn.Module or a function that makes one; got {wrong[0]!r}")
        require_separate(enumerate(stages))
    order = SegmentOrder.of("deepseek" if job.order is None else job.order)
    order.require_valid()
    if job.order is not None and not any(map(may_exchange, stages or ())):
        raise ValueError(
            f"{order.name!r} orders the segments of stages that have some, such as pipelab.moe.MoEBlock: none of these "
            "has any, so leave the order out"
        )
    if expert_ranks > 1 and not schedule.training:
        raise ValueError(f"expert_ranks must be 1 for a forward-only schedule; got {expert_ranks}")
    pairs, steps = _batches(job.batches, job.steps, schedule.num_microbatches, schedule.training, expert_ranks)
    return replace(
        job,
        schedule=lowered,
        stages=stages if stages is not None else partial(_default_stages, schedule.num_stages, seed),
        batches=pairs if pairs is not None else partial(_default_batches, schedule.num_microbatches, steps, seed),
        steps=steps,
        pace=pace,
        seed=seed,
        expert_ranks=expert_ranks,
        order=order,
        rehearse=stages is None,
    )


def _batches(
    batches: Any, steps: int | None, microbatches: int, training: bool, expert_ranks: int = 1
) -> tuple[list[Batch] | None, int]:
    """(one pair per step or None, steps)."""
    if steps is not None:
        steps = at_least(1, steps, "steps")
    if batches is None:
        return None, steps or 1
    if _is_tensor(batches) or (isinstance(batches, tuple) and len(batches) == 2 and _is_tensor(batches[0])):
        pairs = [batches] * (steps or 1)
    else:
        pairs = _listed(batches, _A_BATCH)
        if not pairs:
            raise ValueError("the list of batches is empty")
        if steps is not None and steps > len(pairs):
            raise ValueError(f"{steps} steps need {steps} batches; got {len(pairs)}")
        pairs = pairs[:steps]
    pairs = [(batch, None) if _is_tensor(batch) else tuple(_listed(batch, _A_BATCH)) for batch in pairs]
    for pair in pairs:
        if len(pair) != 2 or not _is_tensor(pair[0]) or not (pair[1] is None or _is_tensor(pair[1])):
            raise ValueError(f"{_A_BATCH}; got {tuple(type(each).__name__ for each in pair)}")
        inputs, targets = pair
        if targets is None and training:
            raise ValueError("training needs batches of (inputs, targets); got inputs only")
        if targets is not None and len(inputs) != len(targets):
            raise ValueError(f"a batch has {len(inputs)} inputs, but {len(targets)} targets")
        parts = microbatches * expert_ranks
        if not len(inputs) or len(inputs) % parts:
            near = max(1, round(len(inputs) / parts)) * parts
            shared = f", each for {expert_ranks} ranks," if expert_ranks > 1 else ""
            raise ValueError(
                f"{microbatches} micro-batches{shared} don't divide a batch of {len(inputs)}: "
                f"all must be of one size, as for example with a batch of {near}"
            )
    if len({tuple(None if each is None else each.shape for each in pair) for pair in pairs}) > 1:
        raise ValueError("every step's batch must have the same shape")
    return pairs, len(pairs)


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape")


def _listed(value: Any, wanted: str) -> list[Any]:
    try:
        return list(value)
    except TypeError:
        raise ValueError(f"{wanted}; got {value!r}") from None


def _default_stages(num_stages: int, seed: int) -> Sequence[StageSource]:
    from ..models import transformer_stages

    return transformer_stages(num_stages, width=32, seed=seed)


def _default_batches(microbatches: int, steps: int, seed: int) -> Sequence[Batch]:
    from ..models import batches

    return batches(2 * microbatches, steps=steps, seed=seed)
