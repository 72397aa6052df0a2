"""Migration: from one plan to another. Which slots get other weights, from where, and how they get there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from ..eplb import Plan
from .placed_experts import PlacedExperts, exchange


class Transfer(NamedTuple):
    """Weights for one slot, from the slot `source` that has them under the previous plan, on this rank or another."""

    layer: int
    slot: int
    source: int


class Migration(NamedTuple):
    """What a migration was on one rank."""

    slots: int  # whose weights came from other ranks
    bytes: int  # of these weights
    sent_bytes: int  # to other ranks
    seconds: float  # of wall time


def transfers(plan: Plan, previous: Plan) -> tuple[Transfer, ...]:
    """All transfers from the previous plan to this one; slots that keep their expert have none.

    Weights that a rank has in another slot are taken from there, without a message. Others come from the rank that was
    asked for the fewest so far, on the same node if one there has them; there are as many as Plan.moves counts. All
    this depends on the plans alone, so all ranks know who sends what. A previous plan of other sizes: ValueError.

    >>> old, new = (Plan.from_map([slots], [[6, 1, 2]], gpus=2) for slots in ([0, 1, 0, 2], [2, 1, 0, 2]))
    >>> transfers(new, old)
    (Transfer(layer=0, slot=0, source=3),)
    """
    previous.check_sizes(plan.sizes)
    rank_of = np.arange(plan.sizes.replicas) // plan.sizes.slots
    node_of = rank_of // (plan.sizes.gpus // plan.sizes.nodes)
    asked = np.zeros(plan.sizes.gpus, dtype=int)
    found = []
    for layer, (now, before) in enumerate(zip(plan.physical_to_logical, previous.physical_to_logical, strict=True)):
        for slot in np.flatnonzero(now != before).tolist():
            sources = np.flatnonzero(before == now[slot])
            far, farther = rank_of[sources] != rank_of[slot], node_of[sources] != node_of[slot]
            source = int(sources[np.lexsort((asked[rank_of[sources]], farther, far))[0]])  # the last key counts first
            asked[rank_of[source]] += rank_of[source] != rank_of[slot]
            found.append(Transfer(layer, slot, source))
    return tuple(found)


def migrate(placed: Sequence[PlacedExperts], plan: Plan) -> Migration:
    """Take all layers of a plan to another plan, with their weights. All ranks of their group call it together.

    There is one all-to-all for each layer that has weights to send, so only one layer's are in memory twice.

    Parameters
    ----------
    placed : sequence of PlacedExperts
        All layers of one plan, in the same order on all ranks.
    plan : Plan
        The new plan. One of other sizes, or one that differs from rank to rank, raises a ValueError.

    Examples
    --------
    >>> old, new = (Plan.from_map([slots], [[6, 1, 2]], gpus=1) for slots in ([0, 1, 2], [2, 0, 1]))
    >>> layer = PlacedExperts(lambda number: torch.nn.Linear(4, 4), old)
    >>> migrate([layer], new).bytes, layer.plan is new
    (0, True)
    """
    began = time.monotonic()
    previous = placed[0].plan
    if len(placed) != plan.sizes.layers or any(layer.plan is not previous for layer in placed):
        raise ValueError(f"migrate takes all {plan.sizes.layers} layers of one plan; got {len(placed)}")
    moves = transfers(plan, previous)
    placed[0].require_agreement(plan)
    slots = received = sent = 0
    for layer in placed:
        # In one order on all ranks: what a rank sends comes in the order in which it is expected.
        mine = sorted((*_ranks_of(move, plan), move) for move in moves if move.layer == layer.layer)
        here = {move.slot: layer.weights_of(move.source) for *ranks, move in mine if ranks == [layer.rank] * 2}
        outgoing, there = _exchanged(layer, [each for each in mine if each[0] != each[1]])
        for slot, weights in {**here, **there}.items():
            layer.take(slot, weights)
        layer.place(plan)
        slots, sent = slots + len(there), sent + outgoing
        received += sum(weights.nbytes for weights in there.values())
    return Migration(slots, received, sent, time.monotonic() - began)


def _ranks_of(move: Transfer, plan: Plan) -> tuple[int, int]:
    """(from, to)"""
    return move.source // plan.sizes.slots, move.slot // plan.sizes.slots


def _exchanged(layer: PlacedExperts, between: list[tuple[int, int, Transfer]]) -> tuple[int, dict[int, torch.Tensor]]:
    """Let weights travel, by (from rank, to rank, what): (bytes that this rank sent, each of its slots' weights)."""
    if not between:
        return 0, {}
    outgoing = [(to, move.source) for of, to, move in between if of == layer.rank]
    incoming = [(of, move.slot) for of, to, move in between if to == layer.rank]
    send, receive = (
        [sum(other == rank for other, _ in each) for rank in range(layer.size)] for each in (outgoing, incoming)
    )
    none = layer.weights_of(layer.first)[None, :][:0]
    rows = torch.cat([none, *(layer.weights_of(source)[None, :] for _, source in outgoing)])
    arrived = exchange(rows, send, receive, layer.group)
    return rows.nbytes, {slot: weights for (_, slot), weights in zip(incoming, arrived, strict=True)}
