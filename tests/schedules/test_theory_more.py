"""Theory of the schedules with several stages a rank or split backwards: equal to the simulation, at any costs."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import assume, example, given, settings, strategies as st

from pipelab import Costs, simulate, theory
from pipelab.ir import lower
from pipelab.schedules import SCHEDULES

from .cases import built, cases

numbers = st.integers(0, 9) | st.fractions(0, 9, max_denominator=12)
costs = st.tuples(numbers, numbers, numbers, numbers)
BOTH_ENDS = ("dualpipe", "dualpipe-v")


def pair(cost):
    """F&B: the last cost is what it takes beyond the longer of F and B, but not more than both."""
    f, i, w, more = cost
    return min(max(f, i + w) + more, f + i + w)


def closed_form(case, cost):
    """(theory, simulation)"""
    name, ranks, microbatches, chunks = case
    f, i, w, _ = cost
    overlapped = pair(cost)
    formula = theory(
        name, ranks, microbatches, forward=f, backward_input=i, backward_weight=w, overlapped=overlapped, chunks=chunks
    )
    return formula, simulate(built(case), Costs(f, i, w, overlapped=overlapped))


def holds(case):
    """Is the closed form known?"""
    name, ranks, microbatches, _ = case
    return name != "zb-v" or microbatches >= 2 * ranks - 1


known = cases().filter(holds)


@given(known, costs)
@settings(max_examples=400)
@example(("zb-h2", 8, 8, None), (7, 11, 10, 0))  # an even number of micro-batches, below 2P-1
@example(("zb-h1", 8, 3, None), (6, 2, 9, 0))
@example(("interleaved", 5, 3, 3), (1, 2, 3, 0))
@example(("dualpipe", 6, 12, None), (1, 9, 2, 0))
@example(("dualpipe", 6, 12, None), (9, 0, 0, 0))
def test_makespan_and_the_idle_time_of_every_rank(case, cost):
    formula, simulated = closed_form(case, cost)
    assert formula.makespan == simulated.makespan
    assert formula.idle == simulated.idle
    assert formula.bubble == max(simulated.idle)
    assert float(formula.bubble_fraction) == pytest.approx(float(simulated.bubble_fraction))
    assert float(formula.bubble_over_ideal) == pytest.approx(float(simulated.bubble_over_ideal))


@given(known, costs)
def test_peak_activations(case, cost):
    formula, simulated = closed_form(case, cost)
    assert formula.peak_activations == simulated.peak_activations


@given(known)
def test_parameters_and_messages(case):
    name, ranks, microbatches, chunks = case
    formula, schedule = theory(name, ranks, microbatches, chunks=chunks), built(case)
    sends = [action for program in lower(schedule).programs for action in program if action.kind.startswith("SEND")]
    assert formula.messages == len(sends)
    assert formula.bytes(10) == 10 * len(sends)
    assert {len(schedule.placement.holders(stage)) for stage in range(schedule.num_stages)} == {formula.parameters}


@given(known, costs)
def test_the_text_says_the_same_as_the_number(case, cost):
    name, ranks, microbatches, chunks = case
    formula, _ = closed_form(case, cost)
    f, i, w, _ = cost
    values = {"P": ranks, "M": microbatches, "V": chunks or 2, "F": f, "I": i, "W": w, "B": i + w, "FB": pair(cost)}
    values |= {"min": min, "max": max, "ceil": ceil}

    def of(what, **more):
        text = formula.formulas[what].replace("·", "*").replace("F&B", "FB").replace("P/2", "(P//2)")
        return eval(text, {"__builtins__": {}}, values | more)

    values |= {letter: of(letter) for letter in ("k", "G") if letter in formula.formulas}
    assert {"makespan", "bubble", "published bubble", "peak activations", "messages"} <= formula.formulas.keys()
    assert tuple(of("peak activations", r=rank) for rank in range(ranks)) == formula.peak_activations
    assert of("published bubble") == formula.published_bubble
    if ranks > 1:
        assert of("messages") == formula.messages
        if microbatches >= {"zb-h1": ranks, "zb-h2": 2 * ranks - 1}.get(name, 1):  # as its assumptions say
            assert of("bubble") == formula.bubble
        assert of("makespan", bubble=formula.bubble) == formula.makespan


# -- where the published bubble is the bubble --------------------------------------------------------------------------


@given(cases("zb-h1", "zb-h2", "interleaved", *BOTH_ENDS), numbers, numbers)
def test_published_bubbles_where_f_i_and_w_are_equal(case, cost, more):
    """ZB-H2's is then 0, and that of a rank's own span: the step's is ZB-H1's."""
    name, ranks, microbatches, _ = case
    assume(microbatches >= ranks)
    formula, _ = closed_form(case, (cost, cost, cost, more))
    if name == "zb-h2":
        assert formula.published_bubble == 0
        assume(microbatches >= 2 * ranks - 1)
        assert (
            formula.bubble
            == theory("zb-h1", ranks, microbatches, forward=cost, backward=2 * cost).bubble
            == (ranks - 1) * cost
        )
    else:
        assert formula.bubble == formula.published_bubble


@given(cases("zb-h1", "zb-h2"), costs)
def test_zero_bubbles_published_forms_hold_where_they_say(case, cost):
    name, ranks, microbatches, _ = case
    f, i, w, _ = cost
    formula, _ = closed_form(case, cost)
    assert formula.bubble >= formula.published_bubble
    assume(ranks > 1 and microbatches >= 2 * ranks - 1)
    exact = w <= min(f, i) if name == "zb-h1" else 2 * w <= min(i, 2 * f)
    assert exact == (formula.bubble == formula.published_bubble)


@given(cases(*BOTH_ENDS), costs)
def test_dualpipes_published_form_holds_where_it_says(case, cost):
    f, _, w, more = cost
    formula, _ = closed_form(case, (f, f, min(f, w), more))
    assert formula.bubble == formula.published_bubble


def test_where_dualpipes_published_form_does_not_hold():
    """In both directions, and for real models' costs: a backward for the input that is longer than a forward."""
    long_input, long_weight = (
        theory("dualpipe", 8, 20, backward_input=i, backward_weight=w) for i, w in ((2, 1), (1, 2))
    )
    assert (long_input.bubble, long_input.published_bubble) == (11, 12)
    assert (long_weight.bubble, long_weight.published_bubble) == (6, 3)


@given(cases(*BOTH_ENDS), costs)
def test_pairs_that_take_longer_than_their_parts(case, cost):
    """The step and each rank's idle time are still known; but now the outer ranks, with fewer pairs, idle longer."""
    f, i, w, more = cost
    overlapped = f + i + w + more
    formula = theory(*case[:3], forward=f, backward_input=i, backward_weight=w, overlapped=overlapped)
    simulated = simulate(built(case), Costs(f, i, w, overlapped=overlapped))
    assert (formula.makespan, formula.idle) == (simulated.makespan, simulated.idle)
    assert formula.bubble == formula.idle[0]


@given(cases("dualpipe"), costs)
def test_dualpipes_general_bubble(case, cost):
    """Of the ranks in the middle; DeepSeek's is (P/2-1)(F&B+B-3W)."""
    _, ranks, _, _ = case
    f, i, w, _ = cost
    formula, simulated = closed_form(case, cost)
    k, overlapped = ranks // 2 - 1, pair(cost)
    middle = k * (overlapped - w - min(i, w)) + max(k * f, k * i - f)
    assert simulated.idle[ranks // 2] == simulated.idle[ranks // 2 - 1] == middle
    assert formula.published_bubble == k * (overlapped + (i + w) - 3 * w)


def test_a_pair_that_gains_makes_the_outer_ranks_idle_less():
    idle = theory("dualpipe", 8, 20, overlapped=Fraction(22, 10)).idle
    assert idle == idle[::-1]
    assert idle[0] < idle[1] < idle[2] == idle[3] == max(idle)


def test_dualpipe_does_not_gain_by_its_bubble_alone():
    """Without overlap its step is hardly shorter than ZB-H1's; what it hides in its pairs is the other half."""
    zb, plain, hidden = (
        theory(name, 8, 20, **more).makespan
        for name, more in (("zb-h1", {}), ("dualpipe", {}), ("dualpipe", {"overlapped": 2.2}))
    )
    assert (zb, plain) == (67, 66)
    assert hidden == pytest.approx(54.8)


@pytest.mark.parametrize(
    ("name", "ranks", "microbatches", "makespan"),
    [("zb-h1", 4, 8, 27), ("zb-h2", 4, 8, 27), ("dualpipe", 4, 8, 26), ("zb-h1", 8, 20, 67), ("dualpipe", 8, 20, 66)]
    + [("dualpipe-v", 4, 8, 54), ("zb-v", 4, 8, 51), ("interleaved", 4, 8, 57)],
)
def test_known_makespans(name, ranks, microbatches, makespan):
    assert theory(name, ranks, microbatches).makespan == makespan


# -- arguments ---------------------------------------------------------------------------------------------------------


def test_a_backward_and_its_parts():
    def parts(**given):
        formula = theory("zb-h1", 4, 8, **given)
        return formula.makespan - formula.bubble, formula.published_bubble

    assert parts() == parts(backward=2) == parts(backward_input=1) == parts(backward=2, backward_weight=1) == (24, 3)
    assert parts(backward=5, backward_weight=1) == parts(backward_input=4, backward_weight=1) == (48, 12)
    assert parts(backward=3) == (32, 3)  # halves stay exact
    assert parts(backward=0.3, backward_input=0.1, backward_weight=0.2)[0] == pytest.approx(8 * 1.3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"backward": 3, "backward_input": 1, "backward_weight": 1}, "backward is 3, but backward_input is 1 and"),
        ({"backward": 3, "backward_input": 4}, "backward_weight -1"),
        ({"backward": -2}, "backward must be finite and not negative; got -2"),
        ({"backward_weight": float("nan")}, "backward_weight must be finite"),
        ({"overlapped": "1"}, "overlapped must be a number"),
        ({"forward": [1, 2]}, r"forward must be one number, .* got \[1, 2\]"),
        ({"overlapped": 1}, "an overlapped pair takes 1, less than its backward alone, 2"),
        ({"forward": 5, "overlapped": 3}, "an overlapped pair takes 3, less than its forward alone, 5"),
        ({"chunks": 2}, "dualpipe has two stages per rank: it takes no chunks"),
    ],
)
def test_costs_that_make_no_sense(given, said):
    with pytest.raises(ValueError, match=said):
        theory("dualpipe", 4, 8, **given)


@pytest.mark.parametrize(
    ("name", "ranks", "microbatches", "said"),
    [
        ("dualpipe", 3, 8, "an even number of ranks"),
        ("dualpipe", 4, 9, "an even number of micro-batches"),
        ("dualpipe", 4, 6, "at least 8 micro-batches"),
        ("dualpipe-v", 4, 7, "at least 8 micro-batches"),
        ("zb-v", 4, 6, "closed form of zb-v holds from 7 micro-batches on"),
    ],
)
def test_sizes_without_a_closed_form(name, ranks, microbatches, said):
    with pytest.raises(ValueError, match=said):
        theory(name, ranks, microbatches)


def test_chunks():
    assert theory("interleaved", 4, 8) == theory("interleaved", 4, 8, chunks=2)
    assert theory("interleaved", 4, 8, chunks=4).messages == 2 * 8 * 15
    with pytest.raises(ValueError, match="chunks must be at least 1; got 0"):
        theory("interleaved", 4, 8, chunks=0)


def test_every_schedule_says_what_it_assumes():
    for name in SCHEDULES:
        assert theory(name, 4, 8).assumes.endswith(".")
