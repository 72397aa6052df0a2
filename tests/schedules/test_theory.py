"""Theory: every closed form equals the simulation, and its text says the same as its number."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from pipelab import Costs, simulate, theory
from pipelab.schedules import SCHEDULES, registered

from .cases import SIMPLE

names = st.sampled_from(SIMPLE)  # the others are in test_theory_more.py
counts = st.integers(1, 8), st.integers(1, 12)
costs = st.integers(0, 9) | st.fractions(0, 9, max_denominator=12)


cases = st.tuples(names, *counts, costs, costs, costs)


def both(name, ranks, microbatches, forward, backward_input, backward_weight):
    """(what the formulas say, what the simulation does)"""
    simulated = simulate(SCHEDULES[name](ranks, microbatches), Costs(forward, backward_input, backward_weight))
    return theory(name, ranks, microbatches, forward=forward, backward=backward_input + backward_weight), simulated


# Each with M below, at and above P, however the backward's cost is dealt to I and W.


@given(cases)
@example(("1f1b", 8, 3, 5, 0, 1))
def test_makespan(case):
    formula, simulated = both(*case)
    assert formula.makespan == simulated.makespan


@given(cases)
def test_bubble_is_the_idle_time_of_every_rank(case):
    formula, simulated = both(*case)
    assert simulated.idle == (formula.bubble,) * simulated.num_ranks


@given(cases)
def test_both_fractions(case):
    formula, simulated = both(*case)
    assert formula.bubble_fraction == simulated.bubble_fraction
    assert formula.bubble_over_ideal == simulated.bubble_over_ideal


@given(cases)
def test_peak_activations(case):
    formula, simulated = both(*case)
    assert formula.peak_activations == simulated.peak_activations


@given(names, *counts)
def test_parameters(name, ranks, microbatches):
    """Copies of every parameter over all ranks: how often the placement holds a stage."""
    placement = SCHEDULES[name](ranks, microbatches).placement
    copies = {len(placement.holders(stage)) for stage in range(placement.num_stages)}
    assert copies == {theory(name, ranks, microbatches).parameters}


@given(names, *counts, costs, costs)
def test_the_text_says_the_same_as_the_number(name, ranks, microbatches, forward, backward):
    formula = theory(name, ranks, microbatches, forward=forward, backward=backward)
    values = {"P": ranks, "M": microbatches, "F": forward, "B": backward, "min": min}

    def of(what, **more):
        return eval(formula.formulas[what].replace("·", "*"), {"__builtins__": {}}, values | more)

    assert of("makespan") == formula.makespan
    assert of("bubble") == formula.bubble
    assert tuple(of("peak activations", r=rank) for rank in range(ranks)) == formula.peak_activations


# What the formulas assume: without it, they are a bound.


@given(names, *counts, st.lists(costs, min_size=8, max_size=8), st.lists(costs, min_size=8, max_size=8))
def test_stages_that_differ_are_no_faster_than_the_fastest_and_no_slower_than_the_slowest(
    name, ranks, microbatches, forward, backward
):
    forward, backward = forward[:ranks], backward[:ranks]
    simulated = simulate(SCHEDULES[name](ranks, microbatches), Costs(forward, backward, 0)).makespan
    low, high = (
        theory(name, ranks, microbatches, forward=of(forward), backward=of(backward)).makespan for of in (min, max)
    )
    assert low <= simulated <= high


@given(names, st.integers(2, 8), st.integers(1, 12), costs.filter(bool))
def test_messages_make_it_longer(name, ranks, microbatches, latency):
    simulated = simulate(SCHEDULES[name](ranks, microbatches), Costs(latency=latency)).makespan
    assert simulated >= theory(name, ranks, microbatches).makespan + 2 * (ranks - 1) * latency


# -- known figures, and arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "ranks", "microbatches", "makespan", "bubble"),
    [("naive", 4, 8, 96, 72), ("gpipe", 4, 8, 33, 9), ("1f1b", 4, 8, 33, 9), ("gpipe", 8, 20, 81, 21)]
    + [("1f1b", 8, 20, 81, 21), ("1f1b", 1, 5, 15, 0)],
)
def test_known_figures(name, ranks, microbatches, makespan, bubble):
    formula = theory(name, ranks, microbatches)
    assert (formula.makespan, formula.bubble) == (makespan, bubble)
    assert formula.bubble_fraction == bubble / makespan


def test_the_two_conventions_for_gpipe():
    """(P-1)/(M+P-1) of the makespan is (P-1)/M of the ideal."""
    formula = theory("gpipe", 4, 8, forward=Fraction(1), backward=Fraction(2))
    assert (formula.bubble_fraction, formula.bubble_over_ideal) == (Fraction(3, 11), Fraction(3, 8))


def test_every_schedule_has_its_formulas():
    assert [name for name in SCHEDULES if not registered(name).closed_form] == []


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    ("ranks", "microbatches"), [(0, 1), (1, 0), (-2, 4), (4, -2), (1.5, 1), (True, 1), (1, "2"), (None, 1)]
)
def test_counts_that_are_none(name, ranks, microbatches):
    with pytest.raises(ValueError, match="^(ranks|microbatches) must be"):
        theory(name, ranks, microbatches)


def test_an_unknown_name():
    with pytest.raises(ValueError, match="no closed form for 'pipe'; there are naive, gpipe, 1f1b"):
        theory("pipe", 1, 1)


def test_numpys_whole_numbers_are_counts():
    assert theory("1f1b", np.int64(4), np.int64(2)) == theory("1f1b", 4, 2)
    assert all(type(peak) is int for peak in theory("gpipe", np.int64(4), np.int64(2)).peak_activations)
