"""Replicate and pack: which experts get copies, which GPU holds which, and both together as a balancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...eplb import lognormal, zipf
from ..balance import packing_cases, replication_cases, whole_numbers, wrong_copies, wrong_packs
from ..confine import Question
from .balancing import Case, case_text, plan, question, small_cases
from .base import Assignment, Judged, Refused, Replies, Test

_FILE = "balancer.py"
_REPLICATE = [Question(_FILE, "my_replicate", case) for case in replication_cases()]
_PACK = [Question(_FILE, "my_pack", case) for case in packing_cases()]
_SMALL = small_cases()
_LARGE = [
    Case(lognormal(4, 32, 1.0, seed=0), 40, 8),
    Case(zipf(4, 32, 1.2, seed=1), 40, 8),
    Case(lognormal(4, 64, 1.0, seed=2), 80, 16),
]


def _each(questions: Sequence[Any], judge: Callable[[Any, Any], Judged], replies: Replies) -> Judged:
    """Each question has an equal share of the points; the first reasons are told, small cases first."""
    share, reasons = 0.0, list[str]()
    for asked in questions:
        try:
            judged = judge(replies, asked)
        except (Refused, ValueError) as refused:
            judged = Judged(0, (str(refused),))
        share += judged.share / len(questions)
        reasons += judged.reasons
    failed = {reason.partition(": ")[2] or reason for reason in reasons}
    return Judged(share, tuple(reasons[:1] if len(failed) == 1 else reasons[:3]))


def _copies(replies: Replies, asked: Question) -> Judged:
    load, replicas = asked.arguments
    where = f"with load {load} and {replicas} replicas"
    copies = whole_numbers(_said(replies, asked, where), len(load), f"{where}: it", "copies of each expert", "experts")
    reasons = wrong_copies(copies, load, replicas)
    return Judged(not reasons, tuple(f"{where}: your copies are {copies}; {reason}" for reason in reasons))


def _packs(replies: Replies, asked: Question) -> Judged:
    weights, gpus = asked.arguments
    where = f"with weights {weights} on {gpus} GPU{'s' * (gpus > 1)}"
    gpu_of = whole_numbers(_said(replies, asked, where), len(weights), f"{where}: it", "a GPU for each item", "items")
    reasons = wrong_packs(gpu_of, weights, gpus)
    return Judged(not reasons, (f"{where}: {'; '.join(reasons)}",) if reasons else ())


def _said(replies: Replies, asked: Question, where: str) -> Any:
    try:
        return replies[asked]
    except Refused as refused:
        raise Refused(f"{where}: {refused}") from None


def _valid(replies: Replies, case: Case) -> Judged:
    plan(replies, case)
    return Judged(1)


def _balanced(replies: Replies, case: Case) -> Judged:
    """Nothing for what does without looking at the loads, everything for what is as good as the greedy."""
    reached, wanted, without = (
        float(each.balancedness.mean()) for each in (plan(replies, case), case.by("greedy"), case.untouched())
    )
    if reached >= wanted - 1e-9:
        return Judged(1)
    said = f"balancedness {reached:.3f}; replicate, then pack reaches {wanted:.3f}"
    return Judged((reached - without) / (wanted - without), (f"{case_text(case)}: {said}",))


ASSIGNMENT = Assignment(
    name="replicate-and-pack",
    title="Replicate and pack",
    version=1,
    files={
        _FILE: (
            "my_replicate(load, replicas)",
            "my_pack(weights, gpus)",
            "my_balancer(load, replicas, gpus, nodes, groups)",
        )
    },
    questions=(*_REPLICATE, *_PACK, *map(question, [*_SMALL, *_LARGE])),
    tests=(
        Test(
            "my_replicate gives the next copy to the heaviest",
            3,
            partial(_each, _REPLICATE, _copies),
            (
                "an expert's copies share its load: with k copies each has load / k",
                "start with one copy each; then, once per replica that is left, add one where load / copies is largest",
            ),
        ),
        Test(
            "my_pack puts the heaviest where it is lightest",
            3,
            partial(_each, _PACK, _packs),
            (
                "every GPU takes equally many items; a full one is out of the question however light it is",
                "go through the items from the heaviest on; each goes to the lightest GPU that has room",
            ),
        ),
        Test(
            "my_balancer makes valid plans",
            2,
            partial(_each, [*_SMALL, *_LARGE], _valid),
            (
                "the answer is [layers, replicas]: the expert in each slot, first those of GPU 0",
                "every expert of every layer needs a slot; a load of nothing but zeros must not divide by zero",
            ),
        ),
        Test(
            "my_balancer balances as well as the greedy",
            2,
            partial(_each, _LARGE, _balanced),
            (
                "replicate, then pack the copies, layer by layer",
                "what is packed are replicas, each with its share of its expert's load",
            ),
        ),
    ),
)
