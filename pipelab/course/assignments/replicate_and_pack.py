"""Replicate and pack: which experts get replicas, which GPU holds which, and both together as a balancer."""

from ...eplb import lognormal, zipf
from ..checks.balancer_check import BalancerCase, balanced_plans, stumbling_cases, valid_plans
from ..checks.pack_check import PACK, pack_question
from ..checks.replicate_check import REPLICATE, replicate_question
from .base import Assignment, Test

_LOADS = [
    BalancerCase(lognormal(4, 32, sigma=1.0, seed=0), 40, 8),
    BalancerCase(zipf(4, 32, exponent=1.2, seed=1), 40, 8),
    BalancerCase(lognormal(4, 64, sigma=1.0, seed=2), 80, 16),
]
_CASES = [*stumbling_cases(_LOADS[0]), *_LOADS]

ASSIGNMENT = Assignment(
    name="replicate-and-pack",
    title="Replicate and pack",
    version=2,
    files={
        "balancer.py": (
            "my_replicate(load, replicas)",
            "my_pack(weights, gpus)",
            "my_balancer(load, replicas, gpus, nodes, groups)",
        )
    },
    questions=(
        *map(replicate_question, REPLICATE.cases),
        *map(pack_question, PACK.cases),
        *(case.question for case in _CASES),
    ),
    tests=(
        Test("my_replicate gives the next replica to the heaviest", 3, REPLICATE).hinted(
            "an expert's replicas share its load: with k of them each has load / k",
            "start with one replica each; then add one where load / replicas is largest, until all are given away",
        ),
        Test("my_pack puts the heaviest where it is lightest", 3, PACK).hinted(
            "every GPU takes equally many items; a full one is out of the question however light it is",
            "go through the items from the heaviest on; each goes to the lightest GPU that has room",
        ),
        Test("my_balancer makes valid plans", 2, valid_plans(_CASES)).hinted(
            "the answer is [layers, replicas]: the expert in each slot, first those of GPU 0",
            "every expert of every layer needs a slot; a load of nothing but zeros must not divide by zero",
        ),
        Test("my_balancer balances as well as the greedy", 2, balanced_plans(_LOADS)).hinted(
            "replicate, then pack the replicas, layer by layer", "each replica weighs its share of its expert's load"
        ),
    ),
)
