"""Controls: the sliders of an explorer, and the schedule and costs that they stand for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ...amounts import at_least
from ...ir import Schedule
from ...schedules import SCHEDULES, registered
from ...simulator import Costs
from .base import choice, slider

Builder = Callable[..., Schedule]


class Slider(NamedTuple):
    """Text beside it; what it stands for; its smallest and largest value, its step; where it begins, if anywhere."""

    text: str
    meaning: str
    smallest: float
    largest: float
    step: float
    begin: float | None


SLIDERS = {  # limits= changes those of a widget
    "ranks": Slider("Ranks", "P: processes, each with its part of the model", 1, 16, 1, 4),
    "microbatches": Slider("Micro-batches", "M: equal parts of the batch", 1, 64, 1, 8),
    "chunks": Slider("Chunks per rank", "V: stages on each rank, where the schedule has a choice", 1, 4, 1, 2),
    "forward": Slider("F, forward", "how long a forward takes, of a P-th of the model", 0.1, 4, 0.1, 1),
    "backward_input": Slider("I, backward: input", "how long its part for the input takes", 0.1, 4, 0.1, 1),
    "backward_weight": Slider("W, backward: weights", "how long its part for the weights takes", 0.1, 4, 0.1, 1),
    "overlapped": Slider("F&B, overlapped", "how long an overlapped forward and backward take", 0.1, 12, 0.1, None),
    "latency": Slider("Message latency", "how long a message travels between two ranks", 0, 2, 0.1, 0),
}
#: Told where the reader points at a name. (Without a tooltip, ipywidgets tells "null".)
MEANING = {
    "schedule": "in which order every rank does its actions",
    "against": "another schedule, drawn below on the same time axis",
    **{name: slider.meaning for name, slider in SLIDERS.items()},
}
COSTS = ("forward", "backward_input", "backward_weight", "overlapped", "latency")
NOTHING = "nothing"  # to compare with


def with_costs(given: Mapping[str, float]) -> dict[str, float]:
    """Where sliders of costs begin: at 1, and F&B at F + I + W, where an overlapped pair gains nothing."""
    begin = {"forward": 1.0, "backward_input": 1.0, "backward_weight": 1.0, **given}
    return {"overlapped": begin["forward"] + begin["backward_input"] + begin["backward_weight"], **begin}


class Controls:
    """The choice of schedules and the sliders, by name in `sliders`; `shown` are the widgets that the reader gets.

    Costs are of a P-th of the model, where P is the number of ranks: a stage of a schedule with two chunks per rank is
    half of that, and costs half as much. So every schedule trains the same model on the same ranks.
    """

    def __init__(
        self,
        schedule: str,
        against: str | None,
        schedules: Iterable[str] | Mapping[str, Builder] | None,
        controls: Iterable[str],
        limits: Mapping[str, tuple[float, ...]],
        values: Mapping[str, float],
    ) -> None:
        shown = list(controls)
        if unknown := [name for name in (*shown, *values, *limits) if name not in MEANING]:
            way = "; how many ms a unit of cost lasts in a run is unit_ms" if unknown[0] == "pace_ms" else ""
            raise ValueError(f"there is no control {unknown[0]!r}; there are {', '.join(MEANING)}{way}")
        self.builders, self.with_chunks = _builders(schedules)
        for name in filter(None, (schedule, against)):
            if name not in self.builders:
                raise ValueError(f"no schedule is called {name!r}; there are {', '.join(self.builders)}")
        names = list(self.builders)
        self.choice = choice("Schedule", names, schedule, tooltip=MEANING["schedule"])
        self.against = choice("Compare with", [NOTHING, *names], against or NOTHING, tooltip=MEANING["against"])
        begin = {**{name: slider.begin for name, slider in SLIDERS.items() if slider.begin is not None}, **values}
        self.sliders = {name: _slider(name, begin[name], limits.get(name)) for name in SLIDERS if name in begin}
        if not self.with_chunks and "chunks" not in values:
            shown = [name for name in shown if name != "chunks"]
        if missing := [name for name in shown if name in SLIDERS and name not in self.sliders]:
            raise ValueError(f"where does {missing[0]} begin? For example: explore_schedule(…, {missing[0]}=2)")
        every = {"schedule": self.choice, "against": self.against, **self.sliders}
        self.shown = [every[name] for name in shown]
        self.all = list(every.values())

    def value(self, name: str) -> Any:
        return self.sliders[name].value

    @property
    def compared(self) -> str | None:
        """The name of the schedule to compare with, or None."""
        return None if self.against.value == NOTHING else self.against.value

    def schedule(self, name: str) -> Schedule:
        """The schedule of that name at the sliders' sizes; ValueError where they don't suit it."""
        return self.builders[name](self.value("ranks"), self.value("microbatches"), chunks=self.value("chunks"))

    def costs(self, schedule: Schedule, times: float = 1, unit: str = "") -> Costs:
        """The sliders' costs, times as many of a unit, for the stages of this schedule."""
        chunks = schedule.num_stages // schedule.num_ranks
        return self.model_costs(times, unit, whole=chunks == 1).cut(chunks)

    def model_costs(self, times: float = 1, unit: str = "", whole: bool = True) -> Costs:
        """The same for a P-th of the model; whole: with whole numbers where they are, which stay exact.

        Whole numbers that are cut become Fractions, and those would make the sliders slow.
        """
        costs: dict[str, Any] = {}
        for name in (name for name in COSTS if name in self.sliders):
            value = round(self.value(name) * times, 6)  # ten steps of 0.1 must be 1
            costs[name] = int(value) if whole and value == int(value) else value
        return Costs(**costs, unit=unit)

    @property
    def settings(self) -> str:
        """What a run depends on, as text."""
        used = [name for name in self.sliders if name != "chunks" or self.choice.value in self.with_chunks]
        return ", ".join([self.choice.value, *(f"{name} {self.value(name):g}" for name in used)])

    def refresh(self) -> None:
        """Chunks can be chosen only where a schedule has a choice."""
        if self.with_chunks:
            self.sliders["chunks"].disabled = self.with_chunks.isdisjoint((self.choice.value, self.against.value))


def _slider(name: str, value: float, limits: tuple[float, ...] | None) -> Any:
    text, meaning, *usual, _ = SLIDERS[name]
    smallest, largest, step = (*limits, *usual[len(limits) :]) if limits else usual
    whole = isinstance(SLIDERS[name].step, int)
    if whole:
        value = at_least(0, value, name)
    if not smallest <= value <= largest:
        raise ValueError(f"{name} must be from {smallest:g} to {largest:g}, its slider's limits; got {value}")
    look = {"tooltip": meaning}
    if not whole:
        step, look["readout_format"] = float(step), f".{max(1, -math.floor(math.log10(step)))}f"
    return slider(text, value, smallest, largest, step, **look)


def _builders(schedules: Iterable[str] | Mapping[str, Builder] | None) -> tuple[dict[str, Builder], set[str]]:
    """Name -> function of (ranks, micro-batches, chunks); and the names of schedules that have a choice of chunks."""
    if isinstance(schedules, Mapping):
        return {name: _without_chunks(builder) for name, builder in schedules.items()}, set()
    entries = [registered(name) for name in (SCHEDULES if schedules is None else schedules)]
    with_chunks = {entry.name for entry in entries if entry.chunks}
    builders = {entry.name: entry.builder if entry.chunks else _without_chunks(entry.builder) for entry in entries}
    return builders, with_chunks


def _without_chunks(builder: Builder) -> Builder:
    return lambda ranks, microbatches, *, chunks: builder(ranks, microbatches)
