"""Router and plan: choices, limits and the order of rows."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, strategies as st

from pipelab.moe import Router, dispatch_plan


def tokens(rows: int, width: int = 5) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_the_best_scores_are_chosen_and_weighted(score) -> None:
    router = Router(5, 8, 3, score=score, scale=2.0)
    routing = router(tokens(20))
    logits = router.linear(tokens(20))
    raw = logits.softmax(-1) if score == "softmax" else logits.sigmoid()
    best = raw.sort(-1, descending=True)
    assert torch.equal(routing.experts, best.indices[:, :3])
    assert torch.allclose(routing.weights, 2 * best.values[:, :3] / best.values[:, :3].sum(-1, keepdim=True))
    assert torch.allclose(routing.scores.sum(-1), torch.ones(20))


def test_the_bias_counts_for_the_choice_but_not_for_the_weight() -> None:
    router = Router(5, 4, 2, balance="bias", score="sigmoid")
    router.bias[3] = 10
    routing = router(tokens(20))
    assert (routing.experts == 3).any(-1).all()
    chosen = router.linear(tokens(20)).sigmoid().gather(-1, routing.experts)
    assert torch.allclose(routing.weights, chosen / chosen.sum(-1, keepdim=True))
    assert router.bias.grad is None


def test_the_bias_moves_against_the_loads() -> None:
    router = Router(5, 4, 1, balance="bias", strength=0.25)
    router.update_bias(torch.tensor([9, 1, 5, 5]))
    assert router.bias.tolist() == [-0.25, 0.25, 0.0, 0.0]
    with pytest.raises(ValueError, match="only a router with balance='bias'"):
        Router(5, 4, 1).update_bias(torch.tensor([9, 1, 5, 5]))


@given(st.sampled_from([(4, 2, 4), (4, 1, 2), (2, 2, 4), (4, 4, 4), (3, 2, 2)]), st.integers(1, 3))
def test_a_token_reaches_few_nodes(shape, per_node) -> None:
    nodes, limit, top_k = shape
    experts = nodes * per_node * 2
    router = Router(5, experts, top_k, nodes=nodes, nodes_per_token=limit, score="sigmoid")
    routing = router(tokens(30))
    raw = router.linear(tokens(30)).sigmoid().view(30, nodes, -1)
    for t, chosen in enumerate(routing.experts.tolist()):
        reached = {expert // (experts // nodes) for expert in chosen}
        best = raw[t].sort(-1, descending=True).values[:, : top_k // limit].sum(-1)
        assert len(set(chosen)) == top_k
        assert reached <= set(best.argsort(descending=True)[:limit].tolist())


def test_weights_of_tokens_that_no_expert_likes_are_no_nan() -> None:
    router = Router(5, 4, 2, score="sigmoid").half().float()
    with torch.no_grad():
        router.linear.weight.fill_(-1000)
    routing = router(torch.ones(2, 5))
    assert torch.isfinite(routing.weights).all()
    assert torch.isfinite(routing.scores).all()


@given(st.integers(1, 12), st.integers(1, 6), st.data())
def test_a_plan_takes_every_row_there_and_back(rows, experts, data) -> None:
    top_k = data.draw(st.integers(1, experts))
    choices = torch.stack([torch.tensor(data.draw(st.permutations(range(experts)))[:top_k]) for _ in range(rows)])
    made = dispatch_plan(choices, experts)
    sent = choices.flatten()[made.place_of.argsort()]
    assert torch.equal(sent, sent.sort().values)
    assert torch.equal(made.row_of[made.place_of].view(rows, top_k), torch.arange(rows)[:, None].expand(-1, top_k))
    assert made.send == made.receive == [rows * top_k]
    assert made.rows == choices.flatten().bincount(minlength=experts).tolist() == made.loads.tolist()
    assert torch.equal(made.by_expert[made.back], torch.arange(rows * top_k))
    assert made.tokens == rows


def test_choices_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="experts are numbered from 0 to 3; got 4"):
        dispatch_plan(torch.tensor([[4]]), 4)
