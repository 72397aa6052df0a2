"""MoE on real ranks: forward and backward equal the dense computation in one process."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from pipelab.moe import ExpertGroup, MoE, MoEBlock, Router
from pipelab.ranks import RankDied, Ranks
from tests.moe.dense import WIDTH, by_definition, difference, inputs_of, joined, on_this_rank

# (tokens of each rank, settings)
CASES: dict[str, tuple[list[int], dict[str, Any]]] = {
    "softmax": ([7, 5, 6, 9], {"num_experts": 8, "top_k": 2}),
    "sigmoid, shared, scaled": (
        [7, 5, 6, 9],
        {"num_experts": 8, "top_k": 3, "score": "sigmoid", "shared_hidden": 4, "scale": 2.5},
    ),
    "auxiliary loss": ([7, 5, 6, 9], {"num_experts": 4, "top_k": 2, "balance": "auxiliary", "strength": 0.5}),
    "auxiliary loss, sigmoid": (
        [3, 0, 6, 9],
        {"num_experts": 4, "top_k": 2, "balance": "auxiliary", "strength": 0.5, "score": "sigmoid"},
    ),
    "node-limited": (
        [8, 8, 8, 8],
        {"num_experts": 8, "top_k": 2, "nodes": 4, "nodes_per_token": 2, "score": "sigmoid", "balance": "bias"},
    ),
    "all to one expert": ([4, 5, 6, 7], {"num_experts": 4, "top_k": 1, "favour": [2]}),
    "none to most experts": ([4, 5, 6, 7], {"num_experts": 8, "top_k": 2, "favour": [0, 5], "shared_hidden": 4}),
    "one token": ([0, 0, 1, 0], {"num_experts": 4, "top_k": 2, "balance": "auxiliary", "strength": 0.5}),
    "one token each": ([1, 1, 1, 1], {"num_experts": 4, "top_k": 1, "shared_hidden": 4}),
    "every expert": ([3, 2, 1, 0], {"num_experts": 4, "top_k": 4, "shared_hidden": 4}),
}


def on_ranks(size: int, cases: list[tuple[list[int], dict[str, Any]]]) -> list[dict[str, Tensor]]:
    """Each case's results, of all ranks joined."""

    def all_cases(ctx: Any) -> list[dict[str, Tensor]]:
        group = ExpertGroup.of()
        return [on_this_rank(group, *case) for case in cases]

    return [joined(list(ranks)) for ranks in zip(*Ranks(size).run(all_cases, timeout=60), strict=True)]


@pytest.fixture(scope="module")
def four_ranks() -> dict[str, dict[str, Tensor]]:
    return dict(zip(CASES, on_ranks(4, [*CASES.values()]), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_four_ranks_compute_what_the_definition_says(name: str, four_ranks) -> None:
    shares, layer = CASES[name]
    assert difference(four_ranks[name], by_definition(sum(shares), layer)) <= 1e-10


@pytest.mark.parametrize("name", CASES)
def test_one_process_computes_what_the_definition_says(name: str) -> None:
    shares, layer = CASES[name]
    assert difference(on_this_rank(None, [sum(shares)], layer), by_definition(sum(shares), layer)) <= 1e-10


def test_the_cases_are_what_they_say(four_ranks) -> None:
    gone = [name for name, g in four_ranks["all to one expert"].items() if "experts." in name and not g.any()]
    assert {name.split(".")[1] for name in gone} == {"0", "1", "3"}
    assert four_ranks["one token"]["output"].shape == (1, WIDTH)
    with_loss = four_ranks["auxiliary loss"]["router.linear.weight"]
    shares, layer = CASES["auxiliary loss"]
    without = by_definition(sum(shares), {**layer, "balance": None})["router.linear.weight"]
    assert float((with_loss - without).abs().max()) > 1e-3


@settings(max_examples=8)
@given(data=st.data())
def test_any_tokens_on_any_ranks(data) -> None:
    size = data.draw(st.integers(1, 3))
    cases = []
    for _ in range(3):
        experts = size * data.draw(st.integers(1, 3))
        shares = data.draw(st.lists(st.integers(0, 6), min_size=size, max_size=size).filter(any))
        layer = {
            "num_experts": experts,
            "top_k": data.draw(st.integers(1, experts)),
            "score": data.draw(st.sampled_from(["softmax", "sigmoid"])),
            "balance": data.draw(st.sampled_from([None, "auxiliary", "bias"])),
            "shared_hidden": data.draw(st.sampled_from([0, 5])),
            "strength": 0.5,
        }
        cases.append((shares, layer))
    for (shares, layer), result in zip(cases, on_ranks(size, cases), strict=True):
        assert difference(result, by_definition(sum(shares), layer)) <= 1e-10


def test_a_block_on_ranks_is_the_block_in_one_process() -> None:
    make = partial(MoEBlock, 8, heads=2, hidden=12, num_experts=4, top_k=2, shared_hidden=6, seed=5)
    x = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def outputs(ctx):
        return make(group=ExpertGroup.of()).double()(x.chunk(ctx.size)[ctx.rank]).detach()

    assert torch.allclose(torch.cat(Ranks(2).run(outputs)), make().double()(x), rtol=0, atol=1e-12)


def test_the_bias_is_moved_alike_on_all_ranks_and_evens_the_loads() -> None:
    """Tokens that all like the same experts: after some steps no expert is without tokens."""

    def steps(ctx):
        layer = MoE(WIDTH, 4, 8, 2, balance="bias", strength=0.005, score="sigmoid", group=ExpertGroup.of())
        tokens = 0.3 * inputs_of(64, seed=ctx.rank)[0].float() + 1
        seen = []
        for _ in range(200):
            layer(tokens)
            seen.append(layer.loads.tolist())
            layer.end_step()
        return seen, layer.router.bias

    (seen, bias), (seen_there, bias_there) = Ranks(2).run(steps)
    assert seen == seen_there
    assert torch.equal(bias, bias_there)
    assert sum(seen[0]) == sum(seen[-1]) == 2 * 64 * 2
    assert max(seen[0]) >= 2.5 * 32
    assert max(seen[-1]) <= 1.7 * 32


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_experts": 4, "top_k": 5}, "top_k must be at most the number of experts, 4; got 5"),
        ({"num_experts": 4, "top_k": 0}, "top_k must be at least 1; got 0"),
        ({"num_experts": 4, "top_k": 2, "nodes": 3}, "nodes must divide the number of experts, 4; got 3"),
        ({"num_experts": 4, "top_k": 2, "nodes": 2, "nodes_per_token": 3}, "nodes_per_token must be at most"),
        ({"num_experts": 4, "top_k": 4, "nodes": 4, "nodes_per_token": 2}, "2 of 4 nodes hold 2"),
        ({"num_experts": 4, "top_k": 2, "score": "tanh"}, "score must be 'softmax' or 'sigmoid'; got 'tanh'"),
        ({"num_experts": 4, "top_k": 2, "balance": "luck"}, "balance must be 'auxiliary', 'bias' or None; got 'luck'"),
    ],
)
def test_settings_that_do_not_fit(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        Router(WIDTH, **settings)


def test_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(ValueError, match="width must be a multiple of heads, 3; got 8"):
        MoEBlock(8, heads=3, hidden=4, num_experts=2, top_k=1)


def test_experts_that_do_not_divide_by_the_ranks() -> None:
    def make(ctx):
        MoE(WIDTH, 4, 5, 1, group=ExpertGroup.of())

    with pytest.raises(ValueError, match="multiple of the 2 ranks that they are spread over, as 6 is; got 5"):
        Ranks(2).run(make)


def test_ranks_that_disagree_on_the_layer() -> None:
    def make(ctx):
        MoE(WIDTH + ctx.rank, 4, 4, 1, group=ExpertGroup.of())

    with pytest.raises(ValueError, match=r"must have the same width; they have \[6, 7\]"):
        Ranks(2).run(make)


def test_scores_that_are_not_finite() -> None:
    layer = MoE(WIDTH, 4, 4, 1)
    tokens = torch.ones(3, WIDTH)
    tokens[1, 2] = float("nan")
    with pytest.raises(ValueError, match="scores of 1 of 3 tokens are not finite"):
        layer(tokens)


def test_a_rank_killed_while_rows_travel() -> None:
    """The others wait for its rows, in the middle of an exchange; the next run works."""

    def die(ctx):
        layer = MoE(WIDTH, 4, 4, 1, group=ExpertGroup.of())
        phases = layer.segments(torch.ones(3, WIDTH))
        exchange = next(phases)
        if ctx.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        exchange.start()[0].wait()

    began = time.monotonic()
    with pytest.raises(RankDied, match="rank 1 was killed by SIGKILL"):
        Ranks(2).run(die)
    assert time.monotonic() - began < 60  # and not the 10 minutes that a run may take
    assert Ranks(2).run(lambda ctx: ctx.rank) == [0, 1]


def test_a_rank_outside_of_the_group() -> None:
    def make(ctx):
        ExpertGroup.of([0])

    with pytest.raises(ValueError, match=r"rank 1 is not one of the group's ranks, \[0\]"):
        Ranks(2).run(make)
