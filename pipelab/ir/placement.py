"""Placement: which rank holds which stage, along which route a micro-batch travels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from ..amounts import at_least


@dataclass(frozen=True)
class Placement:
    """Which rank holds each stage. Every micro-batch follows one route; a bidirectional pipeline has two.

    Parameters
    ----------
    kind : str
        "linear", "looped", "v", "bidirectional" or "custom".
    routes : tuple of tuples of int
        ``routes[route][stage]`` is a rank. Micro-batches are dealt to the routes in equal consecutive blocks: with two
        routes, the first half takes route 0 and the second half route 1.

    Raises
    ------
    ValueError
        For routes of different lengths, for what is no rank, and where a rank between 0 and the largest holds no stage.

    Examples
    --------
    >>> placement = Placement("custom", ((0, 1, 1, 0),))
    >>> placement.num_ranks, placement.stages_of(1), placement.rank_of(3, microbatch=0, num_microbatches=4)
    (2, (1, 2), 0)
    """

    kind: str
    routes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        routes = tuple(tuple(at_least(0, rank, "a rank") for rank in route) for route in self.routes)
        object.__setattr__(self, "routes", routes)
        if not self.routes or not self.routes[0] or len({len(route) for route in self.routes}) != 1:
            raise ValueError(f"a placement needs routes of one equal length of at least 1 stage; got {self.routes!r}")
        ranks = {rank for route in self.routes for rank in route}
        if ranks != set(range(len(ranks))):
            raise ValueError(f"every rank from 0 to {max(ranks)} must hold a stage; only {sorted(ranks)} do")

    @cached_property
    def num_ranks(self) -> int:
        return 1 + max(max(route) for route in self.routes)

    @cached_property
    def num_stages(self) -> int:
        return len(self.routes[0])

    def route_of(self, microbatch: int, num_microbatches: int) -> int:
        """The route that this micro-batch follows."""
        return microbatch * len(self.routes) // num_microbatches

    def rank_of(self, stage: int, microbatch: int, num_microbatches: int) -> int:
        """The rank on which this micro-batch meets this stage."""
        return self.routes[self.route_of(microbatch, num_microbatches)][stage]

    def stages_of(self, rank: int) -> tuple[int, ...]:
        """The stages that a rank holds, route by route. One that it holds on two routes counts once."""
        held = (s for route in self.routes for s, holder in enumerate(route) if holder == rank)
        return tuple(dict.fromkeys(held))

    def holders(self, stage: int) -> tuple[int, ...]:
        """The ranks that hold a copy of a stage: their gradients are summed at the end of the step."""
        return tuple(dict.fromkeys(route[stage] for route in self.routes))


def linear(ranks: int) -> Placement:
    """Stage s on rank s.

    Parameters
    ----------
    ranks : int
        P, at least 1.

    Examples
    --------
    >>> linear(4).routes
    ((0, 1, 2, 3),)
    """
    return Placement("linear", (tuple(range(at_least(1, ranks, "ranks"))),))


def looped(ranks: int, chunks: int) -> Placement:
    """Stage s on rank s mod P: V = `chunks` stages a rank, as in interleaved 1F1B (Megatron-LM, arXiv 2104.04473).

    Parameters
    ----------
    ranks, chunks : int
        P and V, each at least 1.

    Examples
    --------
    >>> looped(2, 3).routes
    ((0, 1, 0, 1, 0, 1),)
    """
    down = tuple(range(at_least(1, ranks, "ranks")))
    return Placement("looped", (down * at_least(1, chunks, "chunks"),))


def v_shape(ranks: int) -> Placement:
    """Two stages a rank: down the ranks and back, so that rank 0 holds first and last (ZB-V, arXiv 2405.15362).

    Parameters
    ----------
    ranks : int
        P, at least 1.

    Examples
    --------
    >>> v_shape(3).routes
    ((0, 1, 2, 2, 1, 0),)
    """
    down = tuple(range(at_least(1, ranks, "ranks")))
    return Placement("v", (down + down[::-1],))


def bidirectional(ranks: int) -> Placement:
    """Two routes, two copies of every stage: down (stage s on rank s) and up (on rank P-1-s), as in DualPipe.

    Parameters
    ----------
    ranks : int
        P, at least 1.

    Examples
    --------
    >>> bidirectional(4).routes
    ((0, 1, 2, 3), (3, 2, 1, 0))
    """
    down = tuple(range(at_least(1, ranks, "ranks")))
    return Placement("bidirectional", (down, down[::-1]))
