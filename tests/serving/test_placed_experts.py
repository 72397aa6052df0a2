"""Experts in the slots of a plan, and their moves to another: all on real ranks, against the dense computation."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from pipelab import Plan, rebalance
from pipelab.eplb import contiguous, lognormal
from pipelab.moe import ExpertGroup
from pipelab.moe.layer import seeded_expert
from pipelab.ranks import Ranks
from pipelab.serving import PlacedExperts, migrate
from pipelab.serving.migration import transfers
from pipelab.serving.placed_experts import choose_replicas, sent_to_slots
from tests.eplb.strategies import arguments, sizes_and_load

WIDTH, LAYERS, EXPERTS, TOP_K = 6, 2, 12, 2


def expert_of(layer: int, number: int) -> torch.nn.Module:
    return seeded_expert(WIDTH, 10, layer, number).double()


def tokens_of(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """(tokens, their experts in each layer, weights of these)"""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randn(count, WIDTH, dtype=torch.float64, generator=generator)
    skewed = torch.arange(1.0, EXPERTS + 1).pow(-1).expand(LAYERS, count, -1)
    experts = torch.stack([layer.multinomial(TOP_K, generator=generator) for layer in skewed])
    return tokens, experts, torch.rand(LAYERS, count, TOP_K, dtype=torch.float64, generator=generator)


def dense(count: int) -> Tensor:
    """Token by token, expert by expert."""
    x, experts, weights = tokens_of(count)
    for layer in range(LAYERS):
        rows = []
        for token, chosen, factors in zip(x, experts[layer].tolist(), weights[layer], strict=True):
            rows.append(token + sum(f * expert_of(layer, e)(token) for e, f in zip(chosen, factors, strict=True)))
        x = torch.stack(rows)
    return x.detach()


def plans_of(ranks: int) -> list[Plan]:
    """With a replica each where that is possible; with more of some; the same by the greedy; and back again."""
    load = np.stack([np.bincount(e.flatten(), minlength=EXPERTS) for e in tokens_of(40)[1].numpy()])
    some = EXPERTS + 2 * ranks - EXPERTS % ranks
    first = contiguous(load, some, ranks)
    refined = rebalance(load, some, ranks, policy="refined")
    return [first, refined, rebalance(load[:, ::-1], some, ranks), first]


def on_this_rank(ctx: Any, plans: list[Plan], count: int) -> list[tuple[Tensor, Any, list[list[int]]]]:
    """Under each plan: (outputs, what moving was, [layers] tokens of this rank's slots)"""
    group = ExpertGroup.of()
    layers = [PlacedExperts(partial(expert_of, layer), plans[0], layer=layer, group=group) for layer in range(LAYERS)]
    tokens, experts, weights = tokens_of(count)
    own = torch.arange(count).tensor_split([count // 2 * (r + 1) // ctx.size for r in range(ctx.size - 1)])[ctx.rank]
    found = []
    for plan in plans:
        moved = migrate(layers, plan)
        x = tokens[own]
        with torch.no_grad():
            for number, layer in enumerate(layers):
                x = x + layer(x, experts[number, own], weights[number, own])
        found.append((x, moved, [layer.dispatched.rows for layer in layers]))
    return found


@pytest.mark.parametrize("ranks", [1, 2, 4, 5, 8])
def test_outputs_are_the_dense_ones_before_and_after_every_move(ranks: int) -> None:
    """The last rank has more than half of the tokens, others few or none."""
    plans, expected = plans_of(ranks), dense(40)
    reports = Ranks(ranks).run(on_this_rank, plans, 40, timeout=60)
    expert_bytes = 8 * sum(p.numel() for p in expert_of(0, 0).parameters())
    for number, (plan, before) in enumerate(zip(plans, [plans[0], *plans], strict=False)):
        outputs, moved, _ = zip(*(report[number] for report in reports), strict=True)
        assert float((torch.cat(outputs) - expected).abs().max()) <= 1e-10
        assert sum(each.bytes for each in moved) == plan.bytes_moved(before, expert_bytes)
        assert sum(each.sent_bytes for each in moved) == plan.bytes_moved(before, expert_bytes)
        assert sum(each.slots for each in moved) == plan.moves(before).sum()
        assert ranks == 1 or bool(moved[0].slots) == (plan is not before)
    for number in range(len(plans)):
        rows = np.concatenate([report[number][2] for report in reports], axis=1)  # [layers, replicas]
        counted = np.stack([np.bincount(e.flatten(), minlength=EXPERTS) for e in tokens_of(40)[1].numpy()])
        assert np.abs(rows - plans[number].under(counted).slot_load).max() < 1  # whole tokens; else even


@settings(max_examples=50)
@given(st.lists(st.lists(st.integers(0, 3), max_size=12), min_size=1, max_size=4), st.integers(0, 99))
def test_ranks_share_tokens_evenly_and_as_one_process_with_all_of_them_would(ranks: list[list[int]], seed: int) -> None:
    slots = torch.tensor([[0, 5, 2], [1, -1, -1], [4, 3, -1], [6, -1, -1]])
    expert_of_slot = [0, 1, 0, 2, 2, 0, 3]
    chosen = [torch.tensor(each, dtype=torch.int64) for each in ranks]
    whole = choose_replicas(torch.cat(chosen)[:, None], slots).flatten().tolist()
    counts = torch.stack([each.bincount(minlength=4) for each in chosen])
    sent, taken = sent_to_slots(counts, slots), iter(whole)
    for rank, each in enumerate(ranks):
        part = [next(taken) for _ in each]
        assert choose_replicas(chosen[rank][:, None], slots, counts, rank).flatten().tolist() == part
        assert [expert_of_slot[slot] for slot in part] == each
        assert sent[rank].tolist() == [Counter(part)[slot] for slot in range(7)]
        _even(Counter(part), slots)
    _even(Counter(whole), slots)


def _even(counted: Counter[int], slots: Tensor) -> None:
    for replicas in slots.tolist():
        numbers = [counted[slot] for slot in replicas if slot >= 0]
        assert max(numbers) - min(numbers) <= 1


@given(sizes_and_load())
@settings(max_examples=60)
def test_transfers_are_those_that_the_plan_counts(case: Any) -> None:
    sizes, load = case
    before, after = (rebalance(each, *arguments(sizes)) for each in (load, load[:, ::-1]))
    moves, room = transfers(after, before), after.sizes.slots
    between = [move for move in moves if move.slot // room != move.source // room]
    per_layer = np.bincount([move.layer for move in between], minlength=len(load))
    assert per_layer.tolist() == after.moves(before).tolist()
    for move in moves:
        assert before.physical_to_logical[move.layer, move.source] == after.physical_to_logical[move.layer, move.slot]
    changed = {tuple(map(int, each)) for each in np.argwhere(before.physical_to_logical != after.physical_to_logical)}
    assert {(move.layer, move.slot) for move in moves} == changed and len(moves) == len(changed)
    node = room * after.sizes.gpus // after.sizes.nodes
    across = sum(move.slot // node != move.source // node for move in between)
    assert across == after.moves(before, across_nodes=True).sum()


def test_no_rank_is_asked_for_all() -> None:
    """Each of four ranks holds expert 0, and four others want it: each sends it once."""
    before = Plan.from_map([[0, 1, 0, 2, 0, 3, 0, 4, 1, 2, 3, 4, 1, 2, 3, 4]], [[1, 1, 1, 1, 1]], gpus=8)
    after = Plan.from_map([[0, 1, 0, 2, 0, 3, 0, 4, 0, 2, 0, 4, 0, 2, 0, 4]], [[1, 1, 1, 1, 1]], gpus=8)
    assert sorted(move.source // 2 for move in transfers(after, before)) == [0, 1, 2, 3]


def test_what_does_not_fit() -> None:
    load = lognormal(1, 8, seed=0)
    plan = rebalance(load, 8, 4)
    with pytest.raises(ValueError, match="the plan is for 4 GPUs; the experts are spread over 1 ranks"):
        PlacedExperts(partial(expert_of, 0), plan)
    layer = PlacedExperts(partial(expert_of, 0), rebalance(load, 8, 1))
    with pytest.raises(ValueError, match="8 replicas, not 10"):
        migrate([layer], rebalance(load, 10, 1))
    with pytest.raises(ValueError, match="all 2 layers of one plan; got 1"):
        migrate([layer], rebalance(np.vstack([load, load]), 8, 1))
    with pytest.raises(ValueError, match="experts are numbered from 0 to 7; got 8"):
        layer(torch.zeros(1, WIDTH, dtype=torch.float64), torch.tensor([[8]]))


def test_ranks_with_different_plans_are_refused() -> None:
    """Not a hang, and not another model's answers."""

    def differ(ctx: Any) -> None:
        load = np.eye(8)[[ctx.rank]]
        PlacedExperts(partial(expert_of, 0), rebalance(load, 12, 2), group=ExpertGroup.of())

    with pytest.raises(ValueError, match="all ranks of an expert group must have the same plan"):
        Ranks(2).run(differ, timeout=60)
