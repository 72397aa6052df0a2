"""Schedule: a placement and one program per rank. Data, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from operator import attrgetter
from typing import Any

import numpy as np

from ..amounts import at_least, counted, whole
from .action import FORWARD, OVERLAP, RECV_F, SEND_F, Action
from .codes import Coded, actions_of, as_codes, codes_of
from .placement import Placement, bidirectional, linear, looped, v_shape

Program = tuple[Action, ...]
_PARTS = attrgetter("parts")
#: What the columns of a program hold.
_OWN = ((attrgetter("kind"), str), (attrgetter("stage"), int), (attrgetter("microbatch"), int), (_PARTS, tuple))


@dataclass(frozen=True, eq=False, init=False)
class Schedule:
    """What every rank does, in order. Immutable, hashable, picklable; prints as a table.

    A Schedule may be wrong; :func:`pipelab.ir.check` says how.

    Parameters
    ----------
    name : str
    placement : Placement
    num_microbatches : int
    programs : tuple of tuples of Action
        One per rank. Any iterables will do, also of codes (see codes.py).
    training : bool
        False: forward only, so that no backward is missing.

    Raises
    ------
    ValueError
        Only where it has no meaning at all: no micro-batches, not one program per rank, or something in a program that
        is not an Action.

    Examples
    --------
    >>> print(Schedule("one rank", linear(1), 1, [[Action("F", 0, 0), Action("B", 0, 0)]]))
    one rank: 1 rank, 1 stage, 1 micro-batch
    rank 0  0F0 0B0
    """

    name: str
    placement: Placement
    num_microbatches: int
    programs: tuple[Program, ...]
    training: bool = True

    def __init__(
        self,
        name: str,
        placement: Placement,
        num_microbatches: int,
        programs: Iterable[Iterable[Action | int]],
        training: bool = True,
    ) -> None:
        # Written out, as more may be given than is kept; a subclass that is a dataclass writes its own.
        given = {"name": name, "placement": placement, "num_microbatches": num_microbatches}
        self.__dict__.update(given, programs=programs, training=training)
        self.__post_init__()

    def __post_init__(self) -> None:
        programs = [*map(_program, self.__dict__.pop("programs"))]
        if len(programs) != (ranks := self.placement.num_ranks):
            raise ValueError(f"{ranks} ranks need {ranks} programs; got {len(programs)}")
        self.__dict__["num_microbatches"] = at_least(1, self.num_microbatches, "num_microbatches")
        coded = [program for program in programs if isinstance(program, np.ndarray)]
        if len(coded) == len(programs):  # Actions are made when somebody asks for them
            self.__dict__["coded"] = Coded.of(coded)
        else:
            self.__dict__["programs"] = tuple(actions_of(p) if isinstance(p, np.ndarray) else p for p in programs)

    def __getattr__(self, name: str) -> Any:
        if name != "programs" or "coded" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__.setdefault("programs", self.coded.programs())

    @cached_property
    def coded(self) -> Any:
        """The programs as codes (see codes.py); None if an action is not well formed, so that it has none."""
        try:
            return Coded.of([*map(codes_of, self.programs)])
        except ValueError:
            return None

    @property
    def num_ranks(self) -> int:
        return self.placement.num_ranks

    @property
    def num_stages(self) -> int:
        return self.placement.num_stages

    def rank_of(self, stage: int, microbatch: int) -> int:
        """The rank on which this micro-batch meets this stage."""
        return self.placement.rank_of(stage, microbatch, self.num_microbatches)

    def _key(self) -> tuple:
        programs = self.programs if self.coded is None else self.coded
        return self.name, self.placement, self.num_microbatches, self.training, programs

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if type(other) is type(self) else NotImplemented

    @cached_property
    def _hash(self) -> int:
        return hash(self._key())

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict:
        # Hashes of text differ from process to process: a pickled one would be wrong on the ranks.
        left_out = {"_hash", "programs"} if self.coded is not None else {"_hash"}
        return {key: value for key, value in self.__dict__.items() if key not in left_out}

    def __str__(self) -> str:
        # Of a pair its brackets say enough: the suffix would make every column three times as wide.
        cells = [[str(action).removesuffix(OVERLAP) for action in program] for program in self.programs]
        width = max((len(cell) for row in cells for cell in row), default=0)
        sizes = {"rank": self.num_ranks, "stage": self.num_stages, "micro-batch": self.num_microbatches}
        title = f"{self.name}: {', '.join(counted(size, what) for what, size in sizes.items())}"
        rows = (f"rank {r:<3}" + " ".join(f"{cell:>{width}}" for cell in row) for r, row in enumerate(cells))
        return "\n".join([title, *(row.rstrip() for row in rows)])


def _program(given: Iterable[Any]) -> Program | np.ndarray:
    """One rank's program as it is kept: Actions, or the array of the codes that were given instead."""
    if isinstance(given, np.ndarray) and given.dtype == np.int64:
        return as_codes(given)
    actions = iter(given)
    first = tuple(islice(actions, 1))
    if [*map(type, first)] == [int]:
        return as_codes(chain(first, actions))
    program = (*first, *actions)
    strangers = set(map(type, program)) - {Action} or set(map(type, _parts(program))) - {Action}
    if strangers:
        names = ", ".join(sorted(kind.__name__ for kind in strangers))
        raise ValueError(f"programs hold Actions (Action.parse reads one from text); got {names}")
    return program if _all_plain(program) else tuple(map(_plain, program))


def _parts(program: Program) -> Iterator[Action]:
    return chain.from_iterable(map(_PARTS, program))


def _all_plain(program: Program) -> bool:
    """Are texts, numbers and tuples Python's own? Read column by column: there may be 100 000 actions."""
    actions = [program, [*_parts(program)]]
    return all(set(map(type, map(column, each))) <= {own} for each in actions for column, own in _OWN)


def _plain(action: Action) -> Action:
    """The same with Python's own: NumPy's text is a str, but prints as np.str_; 2.0 is no index, and prints as none."""
    if type(action) is not Action:
        return action
    kind = str.__str__(action.kind) if isinstance(action.kind, str) else action.kind  # str() of an enum is its name
    return Action(kind, _whole(action.stage), _whole(action.microbatch), tuple(map(_plain, action.parts)))


def _whole(number: Any) -> Any:
    try:
        return whole(number, "a number")
    except ValueError:
        return number  # check says what is wrong with it


def require_schedule(value: object) -> None:
    """ValueError for anything but a Schedule: its name, say."""
    if not isinstance(value, Schedule):
        raise ValueError(f"the schedule must be a Schedule, such as gpipe(4, 8); got {value!r}")


def forward_only(schedule: Schedule) -> Schedule:
    """The same schedule without its backwards, for inference: the forwards, and those in pairs, in their order.

    A valid schedule stays valid: a forward needs forwards only, and they keep their order on every rank.

    Parameters
    ----------
    schedule : Schedule

    Examples
    --------
    >>> from pipelab.schedules import one_f_one_b
    >>> print(forward_only(one_f_one_b(2, 3)))
    1f1b, forward only: 2 ranks, 2 stages, 3 micro-batches
    rank 0  0F0 0F1 0F2
    rank 1  1F0 1F1 1F2
    """
    if not schedule.training:
        return schedule
    kept = (FORWARD, SEND_F, RECV_F)
    programs = tuple(
        tuple(part for action in program for part in action.parts or (action,) if part.kind in kept)
        for program in schedule.programs
    )
    return replace(schedule, name=f"{schedule.name}, forward only", programs=programs, training=False)


def to_csv(schedule: Schedule) -> str:
    """One line per rank, actions separated by commas: torch.distributed.pipelining's compute-only format.

    Parameters
    ----------
    schedule : Schedule

    Examples
    --------
    >>> from pipelab.schedules import gpipe
    >>> to_csv(gpipe(2, 1))
    '0F0,0B0\\n1F0,1B0\\n'
    """
    return "".join(",".join(map(str, program)) + "\n" for program in schedule.programs)


def from_csv(text: str, *, name: str = "csv") -> Schedule:
    """Read torch's compute-only CSV; placement and number of micro-batches are found from the actions.

    Parameters
    ----------
    text : str
        One line per rank; empty cells are skipped.
    name : str
        Of the schedule.

    Raises
    ------
    ValueError
        For a cell that is not an action (with its line), for micro-batches that follow routes of no placement, and for
        a stage or micro-batch whose number is larger than the number of actions.

    Examples
    --------
    >>> print(from_csv("0F0,0B0\\n1F0,1B0"), end="")
    csv: 2 ranks, 2 stages, 1 micro-batch
    rank 0  0F0 0B0
    rank 1  1F0 1B0
    """
    above = text[: len(text) - len(text.lstrip("\r\n"))]  # lines are counted from the file's first, blank or not
    lines = enumerate(text.strip("\r\n").splitlines(), 1 + len(above.splitlines()))
    programs = [tuple(_parse(cell, number) for cell in line.split(",") if cell.strip()) for number, line in lines]
    computes = [(rank, part) for rank, program in enumerate(programs) for action in program for part in action.computes]
    if not computes:
        raise ValueError("no action found; expected one line per rank, such as 0F0,0F1,0B0,0B1")
    for rank, part in computes:  # a slip such as 0F1000000000 would take for ever to work out
        if max(part.stage, part.microbatch) >= len(computes):
            wrong = f"rank {rank} has {part}: {len(computes)} actions can't be for so many stages and micro-batches"
            raise ValueError(wrong)
    microbatches = 1 + max(part.microbatch for _, part in computes)
    placement = _placement_of(computes, microbatches, len(programs))
    return Schedule(name, placement, microbatches, tuple(programs), any(part.kind != FORWARD for _, part in computes))


def _parse(cell: str, line: int) -> Action:
    try:
        return Action.parse(cell)
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from None


def _placement_of(computes: Iterable[tuple[int, Action]], microbatches: int, ranks: int) -> Placement:
    """The placement under which every action lies on the rank where it was found first."""
    where: dict[tuple[int, int], int] = {}
    for rank, part in computes:
        where.setdefault((part.microbatch, part.stage), rank)
    stages = 1 + max(stage for _, stage in where)
    routes = [tuple(where.get((m, s), -1) for s in range(stages)) for m in range(microbatches)]
    whole = tuple(dict.fromkeys(route for route in routes if -1 not in route))
    known = [linear(ranks), v_shape(ranks), bidirectional(ranks)]
    if stages % ranks == 0:
        known.append(looped(ranks, stages // ranks))
    if whole:
        known.append(Placement("custom", whole))
    for placement in known:
        if placement.num_stages == stages and placement.num_ranks == ranks and set(whole) <= set(placement.routes):
            dealt = (placement.routes[placement.route_of(m, microbatches)] for m in range(microbatches))
            if all(_agrees(route, found) for route, found in zip(dealt, routes, strict=True)):
                return placement
    raise ValueError(
        "the micro-batches' routes over the ranks fit no placement: either all take one route, or with two routes "
        f"the first half takes one and the second half the other; found {sorted(set(routes))}"
    )


def _agrees(route: tuple[int, ...], found: tuple[int, ...]) -> bool:
    return all(actual in (-1, planned) for planned, actual in zip(route, found, strict=True))
