"""Placement: who holds which stage, and which route a micro-batch takes."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pipelab.ir import Placement, bidirectional, linear, looped, v_shape

from .generate import PLACEMENTS


@given(st.sampled_from(sorted(PLACEMENTS)), st.integers(1, 8), st.integers(1, 12))
def test_every_stage_of_every_microbatch_is_on_a_rank_that_holds_it(name, ranks, microbatches):
    placement = PLACEMENTS[name](ranks)
    assert placement.num_ranks == ranks
    for m in range(microbatches):
        for s in range(placement.num_stages):
            rank = placement.rank_of(s, m, microbatches)
            assert s in placement.stages_of(rank)
            assert rank in placement.holders(s)


def test_the_four_shapes():
    assert linear(3).routes == ((0, 1, 2),)
    assert looped(2, 3).routes == ((0, 1, 0, 1, 0, 1),)
    assert v_shape(3).routes == ((0, 1, 2, 2, 1, 0),)
    assert bidirectional(3).routes == ((0, 1, 2), (2, 1, 0))
    assert v_shape(3).stages_of(0) == (0, 5)
    assert bidirectional(4).stages_of(1) == (1, 2)
    assert bidirectional(4).holders(0) == (0, 3)
    assert bidirectional(3).stages_of(1) == (1,)  # the middle rank holds one stage for both routes
    assert bidirectional(3).holders(1) == (1,)


@pytest.mark.parametrize(("microbatches", "down"), [(1, 1), (2, 1), (3, 2), (4, 2), (20, 10)])
def test_with_two_routes_the_first_half_of_the_microbatches_goes_down(microbatches, down):
    routes = [bidirectional(4).route_of(m, microbatches) for m in range(microbatches)]
    assert routes == [0] * down + [1] * (microbatches - down)


@pytest.mark.parametrize(
    "make", [linear, v_shape, bidirectional, lambda ranks: looped(ranks, 2), lambda chunks: looped(2, chunks)]
)
@pytest.mark.parametrize("wrong", [0, -1, True, 2.5, None, "2", math.nan, Fraction(2)])
def test_a_count_that_is_no_count_is_named(make, wrong):
    with pytest.raises(ValueError) as error:
        make(wrong)
    assert repr(wrong) in str(error.value)
    assert "at least 1" in str(error.value) or "whole number" in str(error.value)


@pytest.mark.parametrize(
    "routes", [(), ((),), ((0, 1), (0,)), ((1, 2),), ((0, 2),), ((-1, 0),), ((False, True),), (("0",),)]
)
def test_routes_that_are_none_are_refused(routes):
    with pytest.raises(ValueError):
        Placement("custom", routes)


def test_routes_given_as_lists_are_the_same_placement():
    assert Placement("linear", [[0, 1]]) == linear(2)
    assert hash(Placement("linear", [[0, 1]])) == hash(linear(2))


def test_ranks_are_pythons_whole_numbers():
    placement = Placement("linear", np.array([[0.0, 1.0]]))
    assert repr(placement) == repr(linear(2))
