"""Codes: an action as one whole number, so that a large schedule is an array and not a million objects."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress, pairwise, repeat
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np

from ..amounts import whole
from .action import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, FORWARD, MESSAGES, OVERLAP, Action

KINDS = (FORWARD, BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, *MESSAGES)
#: The numbers of the kinds; from SENDS on they are messages.
KIND_F, KIND_B, KIND_I, KIND_W, SENDS = range(5)
_NUMBER = {kind: number for number, kind in enumerate(KINDS)}

# From the lowest bit on: 31 of the micro-batch, 24 of the stage, 4 of the kind; then these two. Every code is marked,
# so that no other number is taken for one.
_STAGE, _KIND, _SECOND = 31, 55, 59
SECOND, MARK = 1 << _SECOND, 1 << _SECOND + 1
MICROBATCHES, STAGES = 1 << _STAGE, 1 << _KIND - _STAGE  # more can't be told apart
_FRAME = ~(SECOND | (len(KINDS) << _KIND) - 1)  # the bits that are alike in all codes

_NO_PAIR = "an overlapped pair is one F and one B or I, in this order"
_COLUMNS = tuple(map(itemgetter, range(4)))  # of actions: kind, stage, micro-batch, parts


def code(kind: str, stage: int, microbatch: int) -> int:
    """The number of a plain action. An overlapped pair is two: its forward's, and its backward's with SECOND added.

    >>> code("F", 2, 1) - code("F", 2, 0)
    1
    """
    if kind not in _NUMBER:
        raise ValueError(f"{kind!r} is no kind of action")
    if not (0 <= stage < STAGES and 0 <= microbatch < MICROBATCHES):
        wrong = f"{stage}{kind}{microbatch}: stages go from 0 to {STAGES - 1}, micro-batches to {MICROBATCHES - 1}"
        raise ValueError(wrong)
    return MARK | _NUMBER[kind] << _KIND | stage << _STAGE | microbatch


def coded(kind: np.ndarray, stage: np.ndarray, microbatch: np.ndarray) -> np.ndarray:
    """The same for columns; kinds are entries of KINDS."""
    return MARK | kind.astype(np.int64) << _KIND | stage.astype(np.int64) << _STAGE | microbatch


def microbatch_of(code: int) -> int:
    """The micro-batch that a code names."""
    return code & MICROBATCHES - 1


def as_codes(numbers: Iterable[int]) -> np.ndarray:
    """An array of codes; ValueError if one of the numbers is none, or a pair is not one."""
    wrong = "programs hold Actions (Action.parse reads one from text); got int"
    try:
        codes = numbers if isinstance(numbers, np.ndarray) else np.fromiter(numbers, dtype=np.int64)
    except (TypeError, ValueError, OverflowError) as error:  # perhaps one of a generator's own
        raise ValueError(wrong) from error
    if (codes & _FRAME != MARK).any():
        raise ValueError(wrong)
    if len(second := np.flatnonzero(codes & SECOND)):
        kind = codes >> _KIND & 15
        forward, backward = kind[second - 1] == KIND_F, (kind[second] == KIND_B) | (kind[second] == KIND_I)
        if second[0] == 0 or not (forward & backward).all():
            raise ValueError(_NO_PAIR)
    return codes


class PlainActions(NamedTuple):
    """Codes taken apart: one row per plain action, an overlapped pair's two one after the other."""

    kind: np.ndarray  # entries of KINDS
    stage: np.ndarray
    microbatch: np.ndarray
    second: np.ndarray  # bool: is it the backward of a pair, and the row before it the forward?

    @property
    def first(self) -> np.ndarray:
        """Is it the forward of a pair?"""
        return np.append(self.second[1:], False)[: len(self.second)]

    @property
    def last(self) -> np.ndarray:
        """Of each row, the row with which its action ends: of a pair's forward the next one, else its own."""
        return np.arange(len(self.second)) + self.first

    @property
    def boundary(self) -> np.ndarray:
        """Between which stages the message travels that each needs of another stage: this one and the next."""
        return np.where(self.kind == KIND_F, self.stage - 1, self.stage)

    def where(self, rows: np.ndarray) -> PlainActions:
        """Some of the rows, by their numbers or a mask."""
        return PlainActions(*(column[rows] for column in self))


def unpack(codes: np.ndarray) -> PlainActions:
    """What the codes say.

    >>> unpack(codes_of([Action("F", 2, 3)])).stage
    array([2], dtype=int32)
    """
    stage = (codes >> _STAGE & STAGES - 1).astype(np.int32)
    microbatch = (codes & MICROBATCHES - 1).astype(np.int32)
    return PlainActions((codes >> _KIND & 15).astype(np.int8), stage, microbatch, (codes & SECOND) > 0)


def codes_of(actions: Sequence[Action]) -> np.ndarray:
    """The codes of actions; ValueError if one of them has none, as it is not well formed.

    >>> len(codes_of([Action.parse("0F0"), Action.parse("(0F7;3B2)OVERLAP_F_B")]))
    3
    """
    kinds, stages, microbatches, parts = (list(map(column, actions)) for column in _COLUMNS)
    second = None
    if any(parts):
        if not all(action.is_pair for action in actions if action.parts):
            raise ValueError(_NO_PAIR)
        second = np.array([at for action in actions for at in ((False, True) if action.parts else (False,))])
        plain = [part for action in actions for part in action.parts or (action,)]
        kinds, stages, microbatches, _ = (list(map(column, plain)) for column in _COLUMNS)
    if strange := [kind for kind in kinds if kind not in KINDS]:
        raise ValueError(f"{strange[0]!r} is no kind of action")
    columns = [np.array(list(map(_NUMBER.__getitem__, kinds)), dtype=np.int64)]
    for numbers, most in ((stages, STAGES), (microbatches, MICROBATCHES)):
        if set(map(type, numbers)) - {int}:
            numbers = [whole(number, "a stage or micro-batch") for number in numbers]
        if numbers and not 0 <= min(numbers) <= max(numbers) < most:
            raise ValueError(f"stages and micro-batches are whole numbers from 0 to {most - 1}")
        columns.append(np.array(numbers, dtype=np.int64))
    return coded(*columns) if second is None else coded(*columns) | np.where(second, SECOND, 0)


def actions_of(codes: np.ndarray) -> tuple[Action, ...]:
    """The actions that have these codes.

    >>> actions_of(codes_of([Action("F", 2, 3)]))
    (2F3,)
    """
    parts = unpack(codes)
    names = map(KINDS.__getitem__, parts.kind.tolist())
    rows: list[Any] = [*_made(zip(names, parts.stage.tolist(), parts.microbatch.tolist(), repeat(())))]
    if not parts.second.any():
        return tuple(rows)
    for second in np.flatnonzero(parts.second).tolist():
        forward = rows[second - 1]
        rows[second - 1] = tuple.__new__(Action, (OVERLAP, *forward[1:3], (forward, rows[second])))
    return tuple(compress(rows, (~parts.second).tolist()))


def _made(rows: Iterable[tuple]) -> Iterable[Action]:
    # tuple.__new__ takes half the time of Action(...), on which a large schedule spends most.
    return map(tuple.__new__, repeat(Action), rows)


class Coded(NamedTuple):
    """One program per rank, all in one row."""

    codes: np.ndarray
    bounds: tuple[int, ...]  # rank r has the codes from bounds[r] to bounds[r + 1]

    @classmethod
    def of(cls, programs: Sequence[np.ndarray]) -> Coded:
        codes = np.concatenate(programs) if programs else np.array([], dtype=np.int64)
        codes.flags.writeable = False
        ends = np.cumsum([len(program) for program in programs], dtype=int)
        return cls(codes, (0, *ends.tolist()))

    @property
    def rank(self) -> np.ndarray:
        """Of every code."""
        return np.repeat(np.arange(len(self.bounds) - 1, dtype=np.int32), np.diff(self.bounds))

    def programs(self) -> tuple[tuple[Action, ...], ...]:
        """The same as Actions."""
        return tuple(actions_of(self.codes[low:high]) for low, high in pairwise(self.bounds))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coded) and self.bounds == other.bounds and np.array_equal(self.codes, other.codes)

    def __hash__(self) -> int:
        return hash((self.bounds, self.codes.tobytes()))
