"""Counts and costs as callers give them."""

import re
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
import torch

from pipelab.amounts import at_least, counted, divided, nonnegative, plain


def test_whole_numbers_become_pythons():
    values = (3, 3.0, np.int64(3), np.uint8(3), np.float32(3), np.array(3), torch.tensor(3), torch.tensor(3.0))
    assert {(type(whole), whole) for whole in (at_least(0, value, "parts") for value in values)} == {(int, 3)}


@pytest.mark.parametrize("value", [True, False, np.True_, torch.tensor(True), 2.5, nan, inf, "2", None, [2], (2, 2)])
def test_what_is_no_whole_number(value):
    with pytest.raises(ValueError, match=f"^parts must be a whole number; got {re.escape(repr(plain(value)))}$"):
        at_least(0, value, "parts")


@pytest.mark.parametrize("value", [2, 2.0, np.int8(2), -1])
def test_too_few(value):
    with pytest.raises(ValueError, match=f"^parts must be at least 3; got {int(value)}$"):
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
