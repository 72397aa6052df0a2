"""Checks of replication, packing and balancers: every right way passes, and wrong ones are told why."""

import heapq
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from pipelab.course import check_balancer, check_pack, check_replicate, plan_of
from pipelab.eplb import rebalance, zipf
from pipelab.eplb.reference import finish, pack_steps, replicate_steps

# -- replicate ---------------------------------------------------------------------------------------------------------


def by_rule(load, replicas, key=lambda value, place: (value, -place)):
    """The rule in exact numbers; the key breaks ties."""
    copies = [1] * len(load)
    for _ in range(replicas - len(load)):
        copies[max(range(len(load)), key=lambda expert: key(Fraction(load[expert], copies[expert]), expert))] += 1
    return copies


def seats(load, replicas):
    """The same with a heap."""
    heap, copies = [(-weight, expert) for expert, weight in enumerate(load)], [1] * len(load)
    heapq.heapify(heap)
    for _ in range(replicas - len(load)):
        _, expert = heapq.heappop(heap)
        copies[expert] += 1
        heapq.heappush(heap, (-load[expert] / copies[expert], expert))
    return copies


def loops(load, replicas):
    expert_of, _ = finish(replicate_steps(load, replicas))
    return [expert_of.count(expert) for expert in range(len(load))]


def spoils_its_input(load, replicas):
    copies = by_rule(load, replicas)
    load.clear()
    return copies


@pytest.mark.parametrize(
    "fn",
    [
        by_rule,
        seats,
        loops,
        spoils_its_input,
        lambda load, replicas: by_rule(load, replicas, key=lambda value, place: (value, place)),  # the last of equals
        lambda load, replicas: by_rule(load, replicas, key=lambda value, place: (value, place % 2, place)),
        lambda load, replicas: tuple(map(float, by_rule(load, replicas))),
        lambda load, replicas: np.array(by_rule(load, replicas)),
        lambda load, replicas: torch.tensor(by_rule(load, replicas)),
    ],
)
def test_replicate_by_the_rule_is_right(fn):
    feedback = check_replicate(fn)
    assert feedback, str(feedback)


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda load, replicas: [1] * len(load), "they are 2 in all; 3 are wanted"),
        (lambda load, replicas: [0] * len(load), "expert 0 has 0: every expert needs a replica"),
        (lambda load, replicas: [replicas], "your function has 1 entries"),
        (lambda load, replicas: None, "your function returns None; return replicas of each expert"),
        (lambda load, replicas: replicas, "replicas of each expert is wanted, as a list"),
        (lambda load, replicas: [nan] * len(load), "entry 0 of your function is nan, which is no whole number"),
        (lambda load, replicas: [inf] * len(load), "is inf, which is no whole number"),
        (lambda load, replicas: ["1"] * len(load), "is '1', which is no whole number"),
        (lambda load, replicas: [replicas / len(load)] * len(load), "is 1.5, which is no whole number"),
        (lambda load, replicas: np.array(3), "your function is 3, int; replicas of each expert is wanted"),
        (lambda load, replicas: load[99], "IndexError: list index out of range"),
        (lambda load: [1], "TypeError"),
    ],
)
def test_replicate_otherwise_is_told_why(fn, said):
    feedback = check_replicate(fn)
    assert not feedback
    assert said in str(feedback)


def test_replicas_by_load_rather_than_by_load_per_replica():
    """The heaviest expert gets them all: the classic mistake. The example is as small as can be."""
    feedback = check_replicate(lambda load, replicas: by_rule(load, replicas, lambda _, place: (load[place], -place)))
    assert feedback.title == "Not right yet, with load [1, 1] and 4 replicas"
    assert feedback.reasons == (
        "your replicas are [3, 1]",
        "expert 0 got its last replica when each of its replicas had 0.5; each of expert 1's still has 1",
    )


# -- pack --------------------------------------------------------------------------------------------------------------


def heaviest_first(weights, gpus, tie=lambda gpu: gpu):
    room = len(weights) // gpus
    load, held, gpu_of = [0] * gpus, [0] * gpus, [0] * len(weights)
    for item in sorted(range(len(weights)), key=lambda item: -weights[item]):
        gpu = min((g for g in range(gpus) if held[g] < room), key=lambda g: (load[g], tie(g)))
        load[gpu], held[gpu], gpu_of[item] = load[gpu] + weights[item], held[gpu] + 1, gpu
    return gpu_of


def loops_pack(weights, gpus):
    packed = finish(pack_steps(weights, gpus))
    return [next(gpu for gpu in range(gpus) if item in packed[gpu]) for item in range(len(weights))]


def best_of_many(weights, gpus):
    """Better than the rule, by luck."""
    random, best, reached = np.random.default_rng(0), heaviest_first(weights, gpus), inf
    for _ in range(60):
        gpu_of = random.permutation(np.arange(len(weights)) % gpus)
        most = np.bincount(gpu_of, weights, minlength=gpus).max()
        if most < min(reached, max(np.bincount(best, weights, minlength=gpus))):
            best, reached = gpu_of.tolist(), most
    return best


@pytest.mark.parametrize(
    "fn",
    [
        heaviest_first,
        loops_pack,
        best_of_many,
        lambda weights, gpus: heaviest_first(weights, gpus, tie=lambda gpu: -gpu),  # the last of equals
        lambda weights, gpus: heaviest_first(weights, gpus, tie=lambda gpu: (gpu % 2, -gpu)),
        lambda weights, gpus: np.array(heaviest_first(weights, gpus)),
    ],
)
def test_pack_by_the_rule_is_right(fn):
    feedback = check_pack(fn)
    assert feedback, str(feedback)


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda weights, gpus: [0] * len(weights), "GPU 0 gets 2 items and has room for 1"),
        (lambda weights, gpus: [gpus] * len(weights), "there is no GPU 2; they are 0 to 1"),
        (lambda weights, gpus: [-1] * len(weights), "there is no GPU -1"),
        (lambda weights, gpus: weights[:-1], "a GPU for each item is wanted, and there are 2 items"),
        (lambda weights, gpus: [nan] * len(weights), "entry 0 of your function is nan"),
        (lambda weights, gpus: None, "your function returns None; return a GPU for each item"),
        (lambda weights, gpus: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_pack_otherwise_is_told_why(fn, said):
    feedback = check_pack(fn)
    assert not feedback
    assert said in str(feedback)


def test_items_in_the_order_given_are_not_heaviest_first():
    def in_order(weights, gpus):
        order = sorted(range(len(weights)), key=lambda item: -weights[item])
        by_place = heaviest_first([len(weights)] * len(weights), gpus)
        assert len(order) == len(by_place)
        return by_place

    feedback = check_pack(in_order)
    assert not feedback
    assert "is next, and GPU" in str(feedback) and "is the lightest with room" in str(feedback)


# -- the balancer ------------------------------------------------------------------------------------------------------


def by_policy(policy):
    return lambda load, *sizes: rebalance(load, *sizes, policy=policy).physical_to_logical


def test_the_refined_policy_beats_the_greedy_and_the_greedy_itself_does_not():
    better, same = check_balancer(by_policy("refined")), check_balancer(by_policy("greedy"))
    assert better.title == "Right: better than the greedy"
    assert same.title == "Valid, and as good as the greedy, but not better yet"
    assert "is the farthest from what is possible: GPU" in same.reasons[1]
    figure = rebalance(zipf(1, 8, exponent=1.0, seed=0), 12, 4).balancedness.mean()
    assert f"greedy {figure:.4f}" in str(check_balancer(by_policy("refined"), zipf(1, 8, exponent=1.0, seed=0), 12, 4))


def test_groups_that_stay_on_their_nodes_are_asked_for():
    load = zipf(3, 16, exponent=1.0, seed=2)
    sizes = (24, 8, 2, 4)
    assert check_balancer(by_policy("refined"), load, *sizes)
    feedback = check_balancer(
        lambda load, replicas, gpus, *_: rebalance(load, replicas, gpus).physical_to_logical, load, *sizes
    )
    assert feedback.title.startswith("No valid plan yet")
    assert "a group stays on one" in feedback.reasons[0]


def cyclic(load, replicas, *_):
    return [[slot % load.shape[1] for slot in range(replicas)] for _ in load]


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (cyclic, "Valid, but the greedy is better"),
        (lambda load, replicas, *_: None, "your function returns None; return [layers, replicas]"),
        (lambda load, replicas, *_: [], "your answer has 0 rows; one per layer is wanted, 1"),
        (lambda load, replicas, *_: [[0]] * len(load), "a layer of your answer has 1 entries"),
        (lambda load, replicas, *_: [0] * len(load), "an expert for each slot is wanted, as a list"),
        (lambda load, replicas, *_: np.zeros((len(load), replicas)), "layer 0 has no replica of expert 1"),
        (lambda load, replicas, *_: np.full((len(load), replicas), nan), "entry 0 of a layer of your answer is nan"),
        (lambda load, replicas, *_: np.arange(1, replicas + 1)[None], "layer 0 has expert 2; experts are 0 to 1"),
        (lambda load, *_: 1 / 0, "ZeroDivisionError: division by zero"),
        (
            lambda load, replicas, *_: cyclic(load / load.sum(), replicas)[int(load.sum() == 0) :],
            "with load [[0., 0., 0.]]",
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_balancers_that_fail_are_told_why(fn, said):
    feedback = check_balancer(fn)
    assert not feedback
    assert said in str(feedback)


@given(st.integers(0, 10**6), st.sampled_from([(8, 2, 1, 1), (12, 4, 1, 1), (16, 8, 2, 4)]))
def test_a_plan_is_what_the_balancer_placed(seed, sizes):
    load = zipf(2, 8, exponent=1.0, seed=seed)
    plan = plan_of(by_policy("greedy"), load, *sizes)
    assert np.array_equal(plan.physical_to_logical, rebalance(load, *sizes).physical_to_logical)
    assert np.array_equal(plan.load, load)
