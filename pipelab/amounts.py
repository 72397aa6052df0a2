"""Quantities: counts and costs as callers give them, checked; and how they are written."""

from __future__ import annotations

import math
from fractions import Fraction
from operator import index
from typing import Any


def counted(count: int, what: str) -> str:
    """A number of things in words.

    >>> counted(1, "rank"), counted(8, "micro-batch")
    ('1 rank', '8 micro-batches')
    """
    return f"{count} {what}" + ("" if count == 1 else "es" if what.endswith("ch") else "s")


def at_least(least: int, value: Any, name: str) -> int:
    """`value` as a Python int if it is a whole number and at least `least`, else a ValueError that names it.

    >>> at_least(1, 4.0, "ranks")
    4
    """
    number = whole(value, name)
    if number < least:
        raise ValueError(f"{name} must be at least {least}; got {number}")
    return number


def whole(value: Any, name: str) -> int:
    """`value` as a Python int if it is a whole number, else a ValueError that names it.

    NumPy's and PyTorch's whole numbers are some, and so are floats without a fraction; True and False are none.

    >>> whole(-4.0, "a stage")
    -4
    """
    given = plain(value)
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ValueError(f"{name} must be a whole number; got {given!r}")
    return index(given)


def plain(value: Any) -> Any:
    """NumPy's and PyTorch's numbers and arrays as Python's own, which stay exact."""
    return value.tolist() if hasattr(value, "tolist") else value


def nonnegative(value: Any, what: str) -> Any:
    """`value` if it is one finite number of at least 0, else a ValueError that names it `what`."""
    value = plain(value)
    try:
        fine = math.isfinite(value) and value >= 0
    except OverflowError:  # a whole number or Fraction beyond floats
        fine = value >= 0
    except TypeError:
        raise ValueError(f"{what} must be a number or one per stage; got {value!r}") from None
    if not fine:
        raise ValueError(f"{what} must be finite and not negative; got {value}")
    return value


def divided(value: Any, parts: int) -> Any:
    """One of so many equal parts of a number; whole numbers and Fractions stay exact."""
    if isinstance(value, int):
        return Fraction(value, parts) if value % parts else value // parts
    return value / parts
