"""Units of time: those that costs and timelines may be in, and how a time becomes one in another unit, exactly."""

from __future__ import annotations

from typing import Any

from ..amounts import divided

#: Unit -> nanoseconds in it. "" is no name: an abstract unit, which can be simulated and is no length of time.
NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_SAME = {"µs": "us", "μs": "us"}  # the micro sign, and the Greek letter that looks like it


def unit_named(unit: Any) -> str:
    """The name of a unit of time as it is kept: "us" for "µs". Any other text is kept, for simulations in it."""
    if not isinstance(unit, str):
        raise ValueError(f'unit must be text, such as "ms"; got {unit!r}')
    return _SAME.get(unit, unit)


def ratio(unit: str, wanted: str) -> tuple[int, int]:
    """What a time must be multiplied with, and then divided by. ValueError for anything but a known unit of time.

    >>> ratio("us", "ms")
    (1, 1000)
    """
    for each in (unit, wanted):
        if each not in NANOSECONDS:
            raise ValueError(f"{each!r} is no known unit of time; there are {', '.join(NANOSECONDS)}")
    one, other = NANOSECONDS[unit], NANOSECONDS[wanted]
    return max(1, one // other), max(1, other // one)


def converted(value: Any, times: int, by: int) -> Any:
    """A number, or each of a tuple, times the one and divided by the other. Whole numbers and Fractions stay exact."""
    if isinstance(value, tuple):
        return tuple(converted(each, times, by) for each in value)
    return divided(value * times, by)
