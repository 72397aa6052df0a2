"""Counts and costs as callers give them."""

from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest

from pipelab.amounts import at_least, counted, divided, nonnegative


def test_whole_numbers_become_pythons():
    assert [at_least(0, value, "parts") for value in (0, np.int64(3), True)] == [0, 3, 1]
    assert {type(at_least(0, value, "parts")) for value in (0, np.int64(3))} == {int}


@pytest.mark.parametrize(("value", "said"), [(2, "at least 3; got 2"), (3.0, "a whole number; got 3.0"), ("3", "'3'")])
def test_counts_that_do_not_fit(value, said):
    with pytest.raises(ValueError, match=f"^parts must be .*{said}"):
        at_least(3, value, "parts")


def test_shares_stay_exact():
    assert (divided(6, 3), divided(7, 3), divided(Fraction(1, 2), 3)) == (2, Fraction(7, 3), Fraction(1, 6))
    assert type(divided(6, 3)) is int
    assert divided(1.5, 3) == 0.5


@pytest.mark.parametrize("value", [0, 1.5, Fraction(1, 3), 10**400, np.float64(2)])
def test_costs(value):
    assert nonnegative(value, "forward") == value


@pytest.mark.parametrize("value", [-1, nan, inf, -(10**400), "1", None, [1]])
def test_what_is_not_a_cost(value):
    with pytest.raises(ValueError, match="^forward must be "):
        nonnegative(value, "forward")


def test_numbers_of_things():
    assert [counted(0, "rank"), counted(1, "micro-batch"), counted(2, "micro-batch")] == [
        *("0 ranks", "1 micro-batch", "2 micro-batches")
    ]
