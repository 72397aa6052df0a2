"""Costs: how long each action takes, and each message."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any, Literal

from ..amounts import at_least, divided, nonnegative, plain
from ..ir import Schedule
from ..ir.action import OVERLAP
from ..timeline import Timeline
from ..timeline.units import converted, ratio, unit_named
from .deepseek_segments import recorded_segments
from .two_streams import unbroken

Cost = Any  # a number (int, float, Fraction), or a sequence of one per stage
_OF_STAGES: tuple[str, ...] = ("forward", "backward_input", "backward_weight", "overlapped")
_OF_STAGES += ("forward_comm", "backward_input_comm", "backward_weight_comm")


@dataclass(frozen=True)
class Costs:
    """What actions and messages cost, in one unit of time.

    Parameters
    ----------
    forward, backward_input, backward_weight : number, or sequence of one per stage
        Computation of F, I and W. B costs I + W. Whole numbers and Fractions stay exact.
    overlapped : number, or sequence of one per stage (of the forward), optional
        Duration of an overlapped pair. Default: the larger of the two actions' summed computation and summed
        communication.
    latency : number
        A message between two ranks takes latency + message_bytes / bandwidth. Messages don't slow each other down.
    bandwidth : number, optional
        In bytes per unit of time; None or inf for infinite.
    message_bytes : number, or sequence of one per boundary
        Entry s: between stages s and s+1. The quotient is a float, unless one of the two is a Fraction.
    blocking_sends : bool
        True: after an action, its rank is held until the messages that it sent have arrived.
    free_at : "W" or "I"
        An activation is freed when its W (or B) ends, or already when its I ends.
    forward_comm, backward_input_comm, backward_weight_comm : number, or sequence of one per stage
        Communication inside the action (tensor or expert parallel), after its computation. Occupies the rank.
    unit : str
        "s", "ms", "us" or "ns", which timelines show. "" is an abstract unit; where time is real, as in a paced run, it
        counts as a millisecond. Any other text can be simulated only.

    Raises
    ------
    ValueError
        For a cost that is negative or not a number.

    Examples
    --------
    >>> Costs(forward=1, backward_input=1, backward_weight=[1, 1, 2]).duration("B", 2)
    3
    """

    forward: Cost = 1
    backward_input: Cost = 1
    backward_weight: Cost = 1
    overlapped: Cost | None = None
    latency: Any = 0
    bandwidth: Any = None
    message_bytes: Cost = 0
    blocking_sends: bool = False
    free_at: Literal["W", "I"] = "W"
    forward_comm: Cost = 0
    backward_input_comm: Cost = 0
    backward_weight_comm: Cost = 0
    unit: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            if field.name in (*_OF_STAGES, "latency", "bandwidth", "message_bytes"):
                object.__setattr__(self, field.name, _cost(getattr(self, field.name), field.name))
        if isinstance(self.latency, tuple) or isinstance(self.bandwidth, tuple):
            raise ValueError("latency and bandwidth are one number each, for all links")
        if self.bandwidth is not None and self.bandwidth <= 0:
            raise ValueError(f"bandwidth must be above 0 (None or inf: infinite); got {self.bandwidth}")
        if self.free_at not in ("W", "I"):
            raise ValueError(f"free_at must be 'W' or 'I'; got {self.free_at!r}")
        object.__setattr__(self, "unit", unit_named(self.unit))

    @classmethod
    def from_timeline(cls, timeline: Timeline, schedule: Schedule | None = None) -> Costs:
        """Costs that a timeline shows, and that predict another schedule of the same stages.

        The median duration of each kind of action on each stage, on any rank. A backward that is only seen whole (B) is
        dealt to I and W as on the stages that show both, or else in halves. What a stage never does outside an
        overlapped pair costs what it does on the other stages, or 0 where none does it. A pair that is never seen gains
        as much as those that are, or nothing: F + B. Messages are free: a timeline doesn't show how much of a wait was
        a message's journey.

        Parameters
        ----------
        timeline : Timeline
            Measured or simulated.
        schedule : Schedule, optional
            The one that was run; needed only where the timeline lacks some of its stages.

        Examples
        --------
        >>> from pipelab import simulate
        >>> from pipelab.schedules import gpipe
        >>> Costs.from_timeline(simulate(gpipe(2, 3), Costs(2, 3, 3))).backward_input
        (3.0, 3.0)
        """
        seen: dict[tuple[str, int], list[float]] = {}
        for (_, action), (start, end) in timeline.dependencies.extents.items():
            seen.setdefault((action.kind, action.stage), []).append(end - start)
        known = {key: median(durations) for key, durations in seen.items()}
        stages = range(schedule.num_stages if schedule else timeline.dependencies.num_stages)

        def per_stage(kind: str) -> list[float]:
            elsewhere = median([cost for (its_kind, _), cost in known.items() if its_kind == kind] or [0.0])
            return [known.get((kind, stage), elsewhere) for stage in stages]

        split = [stage for stage in stages if ("I", stage) in known and ("W", stage) in known]
        inputs, weights = (sum(known[kind, stage] for stage in split) for kind in "IW")
        share = inputs / (inputs + weights) if inputs + weights else 0.5
        whole = per_stage("B") if any(kind == "B" for kind, _ in known) else None
        backward_input, backward_weight = per_stage("I"), per_stage("W")
        for stage in stages:
            if whole and stage not in split:
                backward_input[stage], backward_weight[stage] = whole[stage] * share, whole[stage] * (1 - share)
        forward = per_stage("F")
        serial = [sum(parts) for parts in zip(forward, backward_input, backward_weight, strict=True)]
        paired = [stage for stage in stages if (OVERLAP, stage) in known]
        gain = median([known[OVERLAP, stage] / serial[stage] for stage in paired if serial[stage]] or [1.0])
        pairs = [known.get((OVERLAP, stage), serial[stage] * gain) for stage in stages] if paired else None
        one_by_one = forward, backward_input, backward_weight
        return cls(*one_by_one, pairs, free_at=timeline.free_at, unit=timeline.unit)

    @classmethod
    def deepseek_v3(cls) -> Costs:
        """Four MoE layers of DeepSeek-V3 on one H800 of 64, in ms, from the profile that DeepSeek published.

        Computation and communication of F and I, W, and the overlapped pair as it was measured. data/README.md says how
        each figure was derived; :func:`pipelab.study.estimate_step` uses them.

        Examples
        --------
        >>> costs = Costs.deepseek_v3()
        >>> costs.split("F", 0), costs.duration("F", 0) + costs.duration("B", 0), costs.overlapped
        ((35.894, 41.768), 206.229, 129.012)
        """
        found = recorded_segments()

        def of(direction: str, role: str) -> float:
            """What the segments take by themselves, without waits for other ranks."""
            chosen = [s for s in found if (s.direction, s.role) == (direction, role) and not s.block.endswith("notify")]
            return sum(segment.union for segment in chosen) / 1000

        return cls(
            forward=of("F", "compute"),
            forward_comm=of("F", "comm"),
            backward_input=of("B", "compute"),
            backward_input_comm=of("B", "comm"),
            backward_weight=of("W", "compute"),
            overlapped=(max(segment.end for segment in found) - min(segment.start for segment in found)) / 1000,
            unit="ms",
        )

    def in_unit(self, unit: str) -> Costs:
        """The same costs in another unit of time; without a unit, they are taken to be in ms.

        This is how real time takes its costs. A unit that is not known raises a ValueError.

        Examples
        --------
        >>> costs = Costs(0.01, 0.01, 0.01, bandwidth=10**9, unit="s").in_unit("ms")
        >>> costs.forward, costs.bandwidth
        (10.0, 1000000)
        """
        unit = unit_named(unit)
        times, by = ratio(self.unit or "ms", unit)
        if times == by:
            return replace(self, unit=unit)
        changed = {name: cost for name in (*_OF_STAGES, "latency") if (cost := getattr(self, name)) is not None}
        changed = {name: converted(cost, times, by) for name, cost in changed.items()}
        if self.bandwidth is not None:
            changed["bandwidth"] = converted(self.bandwidth, by, times)
        return replace(self, **changed, unit=unit)

    def require_stages(self, num_stages: int) -> None:
        """ValueError if a cost per stage has another length than the pipeline."""
        for name, value in vars(self).items():
            wanted, what = num_stages, "stages"
            if name == "message_bytes":
                wanted, what = num_stages - 1, "boundaries between stages"
            if isinstance(value, tuple) and len(value) != wanted:
                raise ValueError(f"{name} lists {len(value)} costs; the schedule has {wanted} {what}")

    def cut(self, parts: int) -> Costs:
        """Costs of the same model with every stage cut into so many equal ones; messages cost the same.

        Examples
        --------
        >>> Costs(forward=[4, 6]).cut(2).forward
        (2, 2, 3, 3)
        """
        parts = at_least(1, parts, "parts")
        if isinstance(self.message_bytes, tuple) and parts > 1:
            raise ValueError("message_bytes must be one number: nothing is known of messages inside of a stage")
        cut: dict[str, Any] = {}
        for name, cost in vars(self).items():
            if name in _OF_STAGES and isinstance(cost, tuple):
                cut[name] = tuple(divided(each, parts) for each in cost for _ in range(parts))
            elif name in _OF_STAGES and cost is not None:
                cut[name] = divided(cost, parts)
        return replace(self, **cut)

    def split(self, kind: str, stage: int) -> tuple[Any, Any]:
        """(computation, communication) of a plain action."""
        if kind == "B":
            halves = (self.split("I", stage), self.split("W", stage))
            return halves[0][0] + halves[1][0], halves[0][1] + halves[1][1]
        name = {"F": "forward", "I": "backward_input", "W": "backward_weight"}[kind]
        return at(getattr(self, name), stage), at(getattr(self, f"{name}_comm"), stage)

    def duration(self, kind: str, stage: int) -> Any:
        """Of a plain action, F, I, W or B: computation and communication."""
        computation, communication = self.split(kind, stage)
        return computation + communication

    def pair(self, forward_stage: int, backward_kind: str, backward_stage: int) -> Any:
        """Of an overlapped pair.

        Of its segments nothing is known here: each stream is taken to work without a break. That is the least that any
        order of segments takes; :func:`pipelab.simulator.pair_timing.with_segments` has the exact time of one.
        """
        if self.overlapped is not None:
            return at(self.overlapped, forward_stage)
        both = zip(self.split("F", forward_stage), self.split(backward_kind, backward_stage), strict=True)
        return unbroken(*map(sum, both))

    @property
    def communicates(self) -> bool:
        """Is there communication inside any action?"""
        costs = (self.forward_comm, self.backward_input_comm, self.backward_weight_comm)
        return any(any(cost) if isinstance(cost, tuple) else cost for cost in costs)

    def journeys(self, num_stages: int) -> tuple[Any, ...]:
        """How long a message travels between stages s and s + 1, for each s; empty where all messages are free."""
        times = tuple(self.message(boundary) for boundary in range(num_stages - 1))
        return times if any(times) else ()

    def message(self, boundary: int) -> Any:
        """Of a message between stages `boundary` and `boundary + 1`, in either direction."""
        if self.bandwidth is None:
            return self.latency
        return self.latency + at(self.message_bytes, boundary) / self.bandwidth


def require_costs(value: Any, name: str = "costs") -> Costs:
    """`value` if it is Costs, else a ValueError that names it."""
    if not isinstance(value, Costs):
        raise ValueError(f'{name} must be Costs, such as Costs(10, 10, 10, unit="ms"); got {value!r}')
    return value


def at(cost: Cost, stage: int) -> Any:
    """The cost at one stage."""
    return cost[stage] if isinstance(cost, tuple) else cost


def _cost(value: Any, name: str) -> Any:
    """A cost as it is kept: a number, a tuple, or None. ValueError for anything else."""
    value = plain(value)
    if name == "bandwidth" and value == math.inf:
        value = None
    if value is None and name in ("bandwidth", "overlapped"):
        return None
    if isinstance(value, Sequence) and not isinstance(value, str):
        return tuple(nonnegative(each, name) for each in value)
    return nonnegative(value, name)
