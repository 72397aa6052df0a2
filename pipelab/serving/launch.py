"""Launch: expert-parallel ranks serve given loads under a plan, and move to other plans between windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..amounts import at_least
from ..eplb import POLICIES, Plan, Window, contiguous
from ..eplb.sizes import as_array, as_load
from ..ranks.pool import Ranks
from ..ranks.progress import Progress
from ..simulator.costs import Costs, require_costs
from .fixed_routing import counts_of
from .outcome import Served, Serving
from .serving_job import Predictor, ServingJob, ServingReport

if TYPE_CHECKING:
    import threading

    from ..ranks.worker import RankContext


def serve(
    loads: Any,
    plan: Plan | Sequence[Plan] | None = None,
    *,
    ranks: int | None = None,
    policy: str | None = None,
    replicas: int | None = None,
    every: int = 1,
    predictor: Predictor | None = None,
    max_moved: float = 0.1,
    tokens: int = 2048,
    steps: int = 3,
    pace: Costs | None = None,
    width: int = 64,
    hidden: int = 256,
    dtype: Any = "float32",
    check: bool = True,
    device: str | None = None,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
    timeout: float = 300,
) -> Serving:
    """Serve loads on real ranks: real experts, spread over them as a plan says, and real all-to-alls.

    In each window every token goes to one expert per layer, in numbers proportional to its load; a token with several
    experts counts as several tokens here. Every rank comes with an equal share of them. Sizes that do not fit together
    raise a ValueError, and failing ranks a RankError.

    Parameters
    ----------
    loads : array [layers, experts] or [windows, layers, experts]
        Scaled to `tokens` in every layer.
    plan : Plan or list of Plan, optional
        Where the experts are: at first, or in each window. Default: `contiguous`.
    ranks : int, optional
        One for each GPU of the plan. Default: as many as that, or 4.
    policy : str, optional
        A policy of `rebalance`, by which the ranks plan anew for the load that the predictor expects, and move their
        experts. Default: stay with the plan.
    replicas : int, optional
        Slots of the first plan, if none is given. Default: as few as there can be.
    every : int
        Windows from one new plan to the next.
    predictor : object with update(load), optional
        Default: the next window is like the last, `Window(1)`.
    max_moved : float
        The share of each layer's slots that the policy "incremental" may change.
    tokens, steps : int
        Tokens of all ranks together, and steps per window.
    pace : Costs, optional
        Its `forward` is what a token costs on its expert: each rank's experts do their real work and are then held to
        it, so that a few cores show the wall time of many GPUs; 0: they are not held. Its latency and bandwidth are
        those of an emulated link on which experts move: each rank is held until what it sent, or got, would be through.
        Costs without a unit are in ms. Default: nothing is held, and the link is the machine's own.
    width, hidden : int
        Of the experts.
    dtype : str or torch.dtype
        "float32", "float64", "bfloat16" or "float16".
    check : bool
        Compare the outputs of each window's last step with those of one process that holds all experts.
    device : str, optional
        As in :class:`pipelab.ranks.Ranks`.
    seed : int
        Of inputs, weights and routes.
    progress : function, optional
        Called with a Progress, at most ten times a second.
    cancel, timeout : Event, float
        As in :meth:`pipelab.ranks.Ranks.run`.

    Examples
    --------
    >>> from pipelab.eplb import rebalance, zipf
    >>> load = zipf(2, 8, seed=0)
    >>> before = contiguous(load, replicas=12, gpus=2)
    >>> after = rebalance(load, replicas=12, gpus=2, policy="refined")
    >>> result = serve([load, load], [before, after], tokens=100, steps=1)
    >>> result.windows[1].balancedness > result.windows[0].balancedness, result.equal
    (True, True)
    """
    windows = _windows(loads)
    plans = _plans(plan, windows, ranks, policy, replicas)
    size = plans[0].sizes.gpus
    every, tokens, steps = at_least(1, every, "every"), at_least(1, tokens, "tokens"), at_least(1, steps, "steps")
    width, hidden, seed = at_least(1, width, "width"), at_least(1, hidden, "hidden"), at_least(0, seed, "seed")
    if not 0 <= max_moved <= 1:
        raise ValueError(f"max_moved is a share of the slots, 0 to 1; got {max_moved}")
    predictor = Window(1) if predictor is None else predictor
    if not hasattr(predictor, "update"):
        raise ValueError(f"predictor must have update(load), as MovingAverage(4) does; got {predictor!r}")
    if pace is not None:
        pace = require_costs(pace, "pace").in_unit("us")
        if isinstance(pace.forward, tuple):
            raise ValueError(f"pace.forward must be one number, what a token costs; got {pace.forward}")
    counts = np.stack([counts_of(window, tokens) for window in windows])
    when = frozenset(range(every, len(windows), every) if policy else ())
    shape = (width, hidden, _dtype(dtype), seed)
    job = ServingJob(counts, plans, policy, when, predictor, max_moved, steps, pace, *shape, check)
    pool = Ranks(size, device=device, preload=["pipelab.serving.rank_server"])
    reports = pool.run(_on_this_rank, job, timeout=timeout, progress=progress, cancel=cancel)
    return _collect(job, reports)


def _windows(loads: Any) -> np.ndarray:
    try:
        shape = as_array(loads).shape
    except ValueError:
        raise ValueError("all windows must have the same shape, [layers, experts]") from None
    if len(shape) not in (2, 3):
        raise ValueError(f"loads must be [layers, experts] or [windows, layers, experts]; got shape {shape}")
    windows = [loads] if len(shape) == 2 else list(loads)
    if not windows or 0 in shape:
        raise ValueError(f"loads must have a window, a layer and an expert; got shape {shape}")
    names = ["loads"] if len(shape) == 2 else [f"window {number} of loads" for number in range(len(windows))]
    return np.stack([as_load(window, name=name) for window, name in zip(windows, names, strict=True)])


def _plans(
    plan: Plan | Sequence[Plan] | None, windows: np.ndarray, ranks: int | None, policy: str | None, replicas: int | None
) -> tuple[Plan, ...]:
    """One for each window, or one for the first."""
    if ranks is not None:
        ranks = at_least(1, ranks, "ranks")
    if policy is not None and policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, or None; got {policy!r}")
    if plan is None:
        return (contiguous(windows[0], replicas, ranks or 4),)
    given: Any = (plan,) if isinstance(plan, Plan) or not hasattr(plan, "__iter__") else plan
    plans: tuple[Plan, ...] = tuple(given)
    if wrong := [each for each in plans if not isinstance(each, Plan)]:
        raise ValueError(f"plan must be a Plan, as rebalance makes them, or a list of them; got {wrong[0]!r}")
    if not isinstance(plan, Plan) and (policy is not None or len(plans) != len(windows)):
        raise ValueError(
            f"a list of plans is one for each of {len(windows)} windows, with policy=None; got {len(plans)}, {policy=}"
        )
    sizes = plans[0].sizes
    if (sizes.layers, sizes.experts) != windows.shape[1:]:
        raise ValueError(
            f"the plan is for {sizes.layers} layers of {sizes.experts} experts; the loads have {windows.shape[1]} "
            f"layers of {windows.shape[2]}"
        )
    for name, wanted, has in (("ranks", ranks, sizes.gpus), ("replicas", replicas, sizes.replicas)):
        if wanted is not None and wanted != has:
            of = "GPUs" if name == "ranks" else name
            raise ValueError(f"the plan is for {has} {of}; {name} must be {has}, or be left out; got {wanted}")
    for each in plans[1:]:
        each.check_sizes(sizes)
    return plans


def _dtype(dtype: Any) -> str:
    name, known = str(dtype).removeprefix("torch."), ("float64", "float32", "bfloat16", "float16")
    if name not in known:
        raise ValueError(f"dtype must be one of {', '.join(known)}; got {dtype!r}")
    return name


def _on_this_rank(ctx: RankContext, job: ServingJob) -> ServingReport:
    from .rank_server import Server  # torch is needed on the ranks only

    return Server(ctx, job).run()


def _collect(job: ServingJob, reports: Sequence[ServingReport]) -> Serving:
    served = []
    for counts, ranks in zip(job.counts, zip(*(report.windows for report in reports), strict=True), strict=True):
        held = sum(each.held for each in ranks)
        served.append(
            Served(
                plan=ranks[0].plan.under(counts),
                tokens=np.stack([each.tokens for each in ranks], axis=1),
                compute=1000 * np.stack([np.median(each.compute, axis=0) for each in ranks], axis=1),
                wall=1000 * np.stack([np.median(each.wall, axis=0) for each in ranks], axis=1),
                step=1000 * float(np.median([max(step) for step in zip(*(each.steps for each in ranks), strict=True)])),
                steps=job.steps,
                dispatch_bytes=sum(each.sent_bytes for each in ranks),
                moved_slots=sum(each.moved_slots for each in ranks),
                moved_bytes=sum(each.moved_bytes for each in ranks),
                moving=1000 * max(each.moving for each in ranks),
                planning=1000 * max(each.planning for each in ranks),
                error=ranks[0].error,
                source="paced" if job.pace and job.pace.forward else "measured",
                late=sum(each.late for each in ranks) / held if held else 0.0,
            )
        )
    _, layers, experts = job.counts.shape
    return Serving(
        windows=tuple(served),
        replanned=tuple(number for number, window in enumerate(reports[0].windows) if window.changed),
        policy=job.policy,
        ranks=len(reports),
        layers=layers,
        experts=experts,
        tokens=int(job.counts[0, 0].sum()),
        dtype=job.dtype,
        backend=reports[0].backend,
        expert_bytes=reports[0].expert_bytes,
        pace=job.pace,
    )
