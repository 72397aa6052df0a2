"""Encode: a schedule as arrays, checked as it is read. This is what makes the simulation fast."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..ir import Action, Schedule, require_valid
from ..ir.action import MESSAGES, OVERLAP

FORWARD, BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT = range(4)
_KIND, _STAGE, _MICROBATCH, _PARTS = map(itemgetter, range(4))
CODES = {"F": FORWARD, "B": BACKWARD, "I": BACKWARD_INPUT, "W": BACKWARD_WEIGHT}
KINDS = tuple(CODES)


class Encoded(NamedTuple):
    """A complete schedule, ordered on every rank. Actions are numbered rank after rank."""

    actions: tuple[Action, ...]
    rank: np.ndarray  # [actions]
    bounds: list[int]  # rank r has the actions from bounds[r] to bounds[r + 1]
    # One row per plain action; the action that it is, or is half of, is `owner`.
    kind: np.ndarray
    stage: np.ndarray
    owner: np.ndarray
    # One row per message: the action that needs it, the one that makes it, and between which stages (boundary and
    # boundary + 1) it travels.
    needer: np.ndarray
    maker: np.ndarray
    boundary: np.ndarray


def encode(schedule: Schedule) -> Encoded:
    """Arrays of a schedule; ScheduleError if it is not complete, or something comes before what it needs on its rank.

    What is left for the event loop to find is a deadlock between ranks.
    """
    encoded = _encode(schedule)
    if encoded is None:
        require_valid(schedule)
        raise AssertionError(f"check finds nothing wrong with {schedule.name}, yet it can't be encoded")
    return encoded


def _encode(schedule: Schedule) -> Encoded | None:
    actions = tuple(chain.from_iterable(schedule.programs))
    kinds = set(map(_KIND, actions))
    if not kinds.isdisjoint(MESSAGES):
        return _encode(_without_messages(schedule))
    if not kinds or not kinds <= {*CODES, OVERLAP}:
        return None
    # Column by column, not zip(*actions): that makes an iterator per action, to the garbage collector's cost.
    owner = np.arange(len(actions))
    plain: Sequence[Action] = actions
    parts = list(map(_PARTS, actions))
    if OVERLAP in kinds or any(parts):
        counts = np.array(list(map(len, parts)))
        pairs = np.array([kind == OVERLAP for kind in map(_KIND, actions)])
        if ((counts == 2) != pairs).any() or counts.sum() != 2 * pairs.sum():
            return None
        plain = [part for action in actions for part in action.parts or (action,)]
        owner = np.repeat(owner, np.maximum(counts, 1))
        if not set(map(_KIND, plain)) <= CODES.keys():
            return None
    kind = np.array(list(map(CODES.__getitem__, map(_KIND, plain))))
    if len(plain) > len(actions):
        second = np.flatnonzero(owner[1:] == owner[:-1]) + 1
        if (kind[second - 1] != FORWARD).any() or not np.isin(kind[second], (BACKWARD, BACKWARD_INPUT)).all():
            return None
    stage, microbatch = _whole(map(_STAGE, plain), schedule), _whole(map(_MICROBATCH, plain), schedule)
    lengths = [len(program) for program in schedule.programs]
    rank = np.repeat(np.arange(len(lengths)), lengths)
    number = _numbers(schedule, kind, stage, microbatch, owner, rank[owner])
    if number is None:
        return None

    down = (kind == FORWARD) & (stage > 0)
    up = ((kind == BACKWARD) | (kind == BACKWARD_INPUT)) & (stage < schedule.num_stages - 1)
    needer = np.concatenate([owner[down], owner[up]])
    above = number[FORWARD, stage[down] - 1, microbatch[down]]
    below = number[BACKWARD_INPUT, stage[up] + 1, microbatch[up]]
    maker = np.concatenate([above, below])
    boundary = np.concatenate([stage[down] - 1, stage[up]])
    local = rank[needer] == rank[maker]  # no message: only the order counts
    if (maker >= needer)[local].any():
        return None
    bounds = [0, *np.cumsum(lengths).tolist()]
    return Encoded(actions, rank, bounds, kind, stage, owner, needer[~local], maker[~local], boundary[~local])


def _without_messages(schedule: Schedule) -> Schedule:
    require_valid(schedule)
    programs = tuple(tuple(action for action in program if action.computes) for program in schedule.programs)
    return Schedule(schedule.name, schedule.placement, schedule.num_microbatches, programs, schedule.training)


def _whole(values: Iterable[Any], schedule: Schedule) -> np.ndarray:
    """A column of whole numbers; ScheduleError if it holds anything else."""
    column = np.array(list(values))
    if column.dtype.kind not in "iu":
        require_valid(schedule)
    return column.astype(int)


def _numbers(
    schedule: Schedule, kind: np.ndarray, stage: np.ndarray, microbatch: np.ndarray, owner: np.ndarray, rank: np.ndarray
) -> np.ndarray | None:
    """number[kind, stage, microbatch] of the action that does it, -1 for none; B stands under I and W too.

    All arguments have one entry per plain action. None if the schedule is not complete, or a stage's F, I and W are out
    of order; `check` then says why.
    """
    stages, microbatches = schedule.num_stages, schedule.num_microbatches
    if not ((stage >= 0) & (stage < stages) & (microbatch >= 0) & (microbatch < microbatches)).all():
        return None
    shape = (4, stages, microbatches)
    flat = (kind * stages + stage) * microbatches + microbatch
    count = np.bincount(flat, minlength=4 * stages * microbatches).reshape(shape)
    routes = np.array(schedule.placement.routes)
    wanted = int(schedule.training)
    complete = (
        (count[FORWARD] == 1).all()
        and (count[BACKWARD] + count[BACKWARD_INPUT] == wanted).all()
        and (count[BACKWARD] + count[BACKWARD_WEIGHT] == wanted).all()
        and (routes[microbatch * len(routes) // microbatches, stage] == rank).all()
    )
    if not complete:
        return None
    number = np.full(4 * stages * microbatches, -1)
    number[flat] = owner
    number = number.reshape(shape)
    whole = number[BACKWARD] >= 0
    for half in (BACKWARD_INPUT, BACKWARD_WEIGHT):
        number[half] = np.where(whole, number[BACKWARD], number[half])
    if schedule.training:
        ordered = number[FORWARD] < number[BACKWARD_INPUT]
        ordered &= whole | (number[BACKWARD_INPUT] < number[BACKWARD_WEIGHT])
        if not ordered.all():
            return None
    return number
