"""Leaderboard: your own schedule and your own balancer for a given cluster; what they reach goes on a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from fractions import Fraction
from functools import partial
from statistics import fmean

from ...eplb import Plan, lognormal, zipf
from ...ir import Schedule
from ...schedules import build
from ...simulator import Costs, simulate
from ...timeline import Timeline
from ..checks.balancer_check import BalancerCase, plan
from ..checks.judge import Judge, Judged, Refused, Replies
from .base import Assignment, Test
from .pipeline import Pipeline

#: The cluster: so many pipeline ranks, micro-batches in a step, and costs, in ms, of a rank's share of the model.
RANKS, MICROBATCHES = CLUSTER = (8, 24)
COSTS = Costs.deepseek_v3()
_UNEVEN = lognormal(4, 64, sigma=1.0, seed=10), zipf(4, 64, exponent=1.2, seed=11)
#: Loads of 64 experts in 8 layers, to be served by 16 GPUs with room for 80 replicas.
LOADS = tuple(BalancerCase(load, 80, 16) for load in _UNEVEN)

_OPEN = Pipeline("my_schedule", like="dualpipe", sizes=(CLUSTER, (4, 8)), free=True)


def costs(schedule: Schedule) -> Costs:
    """The costs of the schedule's stages. More stages than ranks cut each rank's share into equal parts."""
    parts, rest = divmod(schedule.num_stages, schedule.num_ranks)
    if rest:
        raise Refused(f"{schedule.num_stages} stages don't divide among {schedule.num_ranks} ranks evenly")
    return COSTS.cut(parts)


def step(schedule: Schedule) -> Timeline:
    """A training step of the schedule on the cluster, simulated."""
    return simulate(schedule, costs(schedule))


def peak(schedule: Schedule) -> Fraction:
    """The most activations that a rank keeps, each of what one micro-batch leaves in a rank's share of the model."""
    return Fraction(max(step(schedule).peak_activations) * schedule.num_ranks, schedule.num_stages)


def room() -> Fraction:
    """The most activations that a rank has room for: those of DualPipe."""
    return peak(build("dualpipe", *CLUSTER))


def _fast(replies: Replies, _: None) -> Judged:
    """No points for 1F1B's time, all of them for DualPipe's."""
    schedules = _OPEN.valid(replies, CLUSTER), build("1f1b", *CLUSTER), build("dualpipe", *CLUSTER)
    mine, slow, best = (float(step(each).makespan) for each in schedules)
    said = f"a step takes {mine:.0f} ms; 1f1b {slow:.0f}, dualpipe {best:.0f}"
    return Judged(min(1.0, (slow - mine) / (slow - best)), (said,))


def _fits(replies: Replies, _: None) -> Judged:
    kept, most = peak(_OPEN.valid(replies, CLUSTER)), room()
    said = f"a rank keeps up to {float(kept):g} activations; there is room for {float(most):g}"
    return Judged(kept <= most, () if kept <= most else (said,))


def _balancedness(plan_for: Callable[[BalancerCase], Plan]) -> float:
    return fmean(float(plan_for(case).balancedness.mean()) for case in LOADS)


def _balanced(replies: Replies, _: None) -> Judged:
    """No points for a plan that ignores the loads, all of them for the refined policy's balance."""
    mine, without = _balancedness(partial(plan, replies)), _balancedness(BalancerCase.untouched)
    greedy, best = (_balancedness(partial(BalancerCase.by, policy=policy)) for policy in ("greedy", "refined"))
    said = f"balancedness {mine:.4f}; greedy {greedy:.4f}, refined {best:.4f}"
    return Judged(1 if mine >= best - 1e-9 else (mine - without) / (best - without), (said,))


def _figures(replies: Replies) -> Mapping[str, float]:
    """Those that can be computed: a submission may be a schedule only."""
    found: dict[str, float] = {}
    with suppress(Refused):
        schedule = _OPEN.valid(replies, CLUSTER)
        timeline = step(schedule)
        found["step, ms ↓"] = float(timeline.makespan)
        found["bubble, % ↓"] = 100 * float(timeline.bubble_fraction)
        found["activations ↓"] = float(peak(schedule))
    with suppress(Refused):
        found["balancedness"] = _balancedness(partial(plan, replies))
    return found


ASSIGNMENT = Assignment(
    name="leaderboard",
    title="What would you run?",
    version=1,
    files={
        "schedule.py": ("my_schedule(ranks, microbatches)",),
        "balancer.py": ("my_balancer(load, replicas, gpus, nodes, groups)",),
    },
    questions=(*_OPEN.questions, *(case.question for case in LOADS)),
    table="my_schedule",
    pipelab=True,
    figures=_figures,
    tests=(
        _OPEN.runs(2).hinted("any placement will do; every stage must meet every micro-batch once"),
        Test("my_schedule is fast", 3, Judge([None], _fast)).hinted(
            "what does a pair cost, and what its forward and its backward one after the other?",
            "try dualpipe, and ask of each gap what it waits for: timeline.gaps()",
        ),
        Test("my_schedule fits in memory", 1, Judge([None], _fits)).hinted(
            "count each rank's activations: timeline.peak_activations"
        ),
        _OPEN.trains(1, (4, 8)),
        Test("my_balancer balances", 3, Judge([None], _balanced)).hinted(
            "how much better could it be? Plan.attainable says it",
            "after packing, swap replicas between the busiest GPU and others while that helps",
        ),
    ),
)
