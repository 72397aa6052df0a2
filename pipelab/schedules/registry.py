"""Registry: the named schedules, each registered by the file that it stands in."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from math import inf
from typing import Any

from ..amounts import at_least
from ..ir import Schedule
from .closed_form import Theory

Builder = Callable[..., Schedule]


@dataclass(frozen=True)
class Registered:
    """What is known of a named schedule besides its order.

    Attributes
    ----------
    name : str
        On the command line, in tables and in explorers.
    builder : function
        (ranks, microbatches) -> Schedule; with `chunks` where they can be chosen. Its docstring names the sources.
    closed_form : function, optional
        (ranks, microbatches, StageCosts) -> Theory; with `chunks` where they can be chosen.
    lesson : float
        In which it is introduced: schedules are listed in this order, those without a lesson last.
    stages_per_rank : int
        Where there is no choice.
    chunks : int, optional
        Default number of stages per rank, where there is a choice.
    middle : function, optional
        Number of ranks -> the rank whose idle time the closed form's bubble counts: for DualPipe and its kin.

    Examples
    --------
    >>> registered("zb-v").stages_per_rank, registered("dualpipe").middle(8)
    (2, 3)
    """

    name: str
    builder: Builder
    closed_form: Callable[..., Theory] | None = None
    lesson: float = inf
    stages_per_rank: int = 1
    chunks: int | None = None
    middle: Callable[[int], int] | None = None

    def options(self, chunks: int | None) -> dict[str, int]:
        """What else builder and closed form take. ValueError for chunks where there is no choice."""
        if self.chunks is not None:
            return {"chunks": self.chunks if chunks is None else at_least(1, chunks, "chunks")}
        if chunks is not None:
            held = {1: "one stage", 2: "two stages"}.get(self.stages_per_rank, f"{self.stages_per_rank} stages")
            raise ValueError(f"{self.name} has {held} per rank: it takes no chunks")
        return {}


_REGISTERED: dict[str, Registered] = {}


class _Builders(Mapping[str, Builder]):
    """A live view of the registry: name -> builder."""

    def __getitem__(self, name: str) -> Builder:
        return _REGISTERED[name].builder

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(_REGISTERED, key=lambda name: (_REGISTERED[name].lesson, name)))

    def __len__(self) -> int:
        return len(_REGISTERED)


#: The names of all schedules, by lesson, with their builders.
SCHEDULES: Mapping[str, Builder] = _Builders()


def register(name: str, builder: Builder, **about: Any) -> Registered:
    """Give a schedule a name, under which the command line, tables, explorers, `build` and `theory` find it.

    A file in this folder that ends with a call of `register` is all that a new schedule needs. A notebook cell may
    call it, too, and again after a change.

    Parameters
    ----------
    name : str
        On the command line, in tables and in explorers.
    builder : function
        (ranks, microbatches) -> Schedule.
    **about : Any
        The other attributes of `Registered`.

    Raises
    ------
    ValueError
        If another builder has this name.

    Examples
    --------
    >>> from pipelab.schedules import gpipe
    >>> def doubled(ranks, microbatches):
    ...     return gpipe(ranks, 2 * microbatches)
    >>> register("doubled", doubled).name, build("doubled", 2, 3).num_microbatches
    ('doubled', 6)
    >>> unregister("doubled")
    """
    known = _REGISTERED.get(name)
    if known and (known.builder.__module__, known.builder.__qualname__) != (builder.__module__, builder.__qualname__):
        raise ValueError(f"a schedule is already called {name!r}: {known.builder.__module__}.{known.builder.__name__}")
    _REGISTERED[name] = Registered(name, builder, **about)
    return _REGISTERED[name]


def unregister(name: str) -> None:
    """Take a name from the registry; ValueError if it isn't there."""
    del _REGISTERED[registered(name).name]


def registered(name: str) -> Registered:
    """The entry of a named schedule.

    Parameters
    ----------
    name : str
        One of `SCHEDULES`.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.

    Examples
    --------
    >>> registered("interleaved").chunks
    2
    """
    if name not in _REGISTERED:
        raise ValueError(f"no schedule is called {name!r}; there are {', '.join(SCHEDULES)}")
    return _REGISTERED[name]


def discover(folders: Iterable[str], package: str) -> None:
    """Import every module in a package's folders, so that each registers what it holds."""
    for module in pkgutil.iter_modules(folders):
        import_module(f"{package}.{module.name}")


def build(name: str, ranks: int, microbatches: int, *, chunks: int | None = None) -> Schedule:
    """Build the schedule of that name.

    Parameters
    ----------
    name : str
        One of `SCHEDULES`.
    ranks, microbatches : int
        P and M.
    chunks : int, optional
        Stages per rank, only where the schedule has a choice (interleaved; default 2).

    Raises
    ------
    ValueError
        For an unknown name, sizes that the schedule is not made for, and chunks that it doesn't take.

    Examples
    --------
    >>> build("gpipe", 4, 8).num_ranks
    4
    >>> build("interleaved", 4, 8, chunks=3).num_stages
    12
    """
    schedule = registered(name)
    ranks, microbatches = at_least(1, ranks, "ranks"), at_least(1, microbatches, "microbatches")
    return schedule.builder(ranks, microbatches, **schedule.options(chunks))
