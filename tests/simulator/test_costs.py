"""Costs: what is refused, what B and a pair cost, how long a message travels, and what a timeline teaches."""

from dataclasses import FrozenInstanceError, fields, replace
from fractions import Fraction
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, strategies as st

from pipelab import Action, Costs, simulate
from pipelab.schedules import gpipe, naive
from pipelab.timeline.units import NANOSECONDS

from . import reference

EVERY = [field.name for field in fields(Costs) if field.name not in ("blocking_sends", "free_at", "unit")]
PER_STAGE = [name for name in EVERY if name not in ("latency", "bandwidth")]
numbers = st.integers(0, 9) | st.fractions(0, 9)


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("wrong", [-1, -0.5, nan, -inf, Fraction(-1, 3), np.float64(nan), -(10**400)])
def test_a_negative_or_undefined_cost(name, wrong):
    with pytest.raises(ValueError, match=f"^{name} must be finite and not negative; got {wrong}"):
        Costs(**{name: wrong})


@pytest.mark.parametrize("name", PER_STAGE)
def test_one_wrong_stage_is_enough(name):
    with pytest.raises(ValueError, match=f"^{name} must be finite and not negative; got -2"):
        Costs(**{name: [1, -2, 3]})


@pytest.mark.parametrize("name", [name for name in EVERY if name != "bandwidth"])
def test_only_bandwidth_may_be_infinite(name):
    with pytest.raises(ValueError, match=f"^{name} must be finite"):
        Costs(**{name: inf})
    assert Costs(bandwidth=inf) == Costs(bandwidth=None) == Costs(bandwidth=np.inf)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("wrong", ["", "1", 1j, {}, object(), [[1, 2]], [None], ["1"]])
def test_what_is_no_number(name, wrong):
    with pytest.raises(ValueError, match=f"^{name} must be a number or one per stage; got"):
        Costs(**{name: wrong})


@pytest.mark.parametrize("name", [name for name in EVERY if name not in ("overlapped", "bandwidth")])
def test_none_is_no_cost(name):
    with pytest.raises(ValueError, match=f"^{name} must be a number or one per stage; got None"):
        Costs(**{name: None})


@pytest.mark.parametrize("wrong", [0, 0.0, np.int64(0)])
def test_a_bandwidth_of_nothing(wrong):
    with pytest.raises(ValueError, match="bandwidth must be above 0"):
        Costs(bandwidth=wrong)


@pytest.mark.parametrize("name", ["latency", "bandwidth"])
def test_all_links_are_alike(name):
    with pytest.raises(ValueError, match="latency and bandwidth are one number each"):
        Costs(**{name: [1, 2]})


@pytest.mark.parametrize("wrong", ["B", "w", "", None, ["W"]])
def test_what_frees_no_activation(wrong):
    with pytest.raises(ValueError, match="free_at must be 'W' or 'I'; got"):
        Costs(free_at=wrong)


@pytest.mark.parametrize("name", [name for name in PER_STAGE if name != "message_bytes"])
@pytest.mark.parametrize("count", [0, 1, 2, 4])
def test_one_cost_per_stage(name, count):
    costs = Costs(**{name: [1] * count})
    with pytest.raises(ValueError, match=f"^{name} lists {count} costs; the schedule has 3 stages"):
        costs.require_stages(3)
    Costs(**{name: [1] * 3}).require_stages(3)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_one_size_of_message_per_boundary(count):
    with pytest.raises(ValueError, match=f"message_bytes lists {count} costs; the schedule has 2 boundaries"):
        Costs(message_bytes=[1] * count).require_stages(3)
    Costs(message_bytes=[1, 1]).require_stages(3)
    Costs(message_bytes=[]).require_stages(1)


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (np.float64(1.5), 1.5),
        (np.int32(3), 3),
        (np.array(2), 2),
        (np.array([1, 2, 3]), (1, 2, 3)),
        (np.array([0.5, 1.0, 2.0]), (0.5, 1.0, 2.0)),
        ([np.int64(1), np.int64(2), np.int64(3)], (1, 2, 3)),
        (range(3), (0, 1, 2)),
    ],
)
@pytest.mark.parametrize("name", ["forward", "backward_input", "overlapped", "forward_comm"])
def test_numpys_numbers_become_pythons(name, given, kept):
    value = getattr(Costs(**{name: given}), name)
    assert value == kept
    assert {type(each) for each in (value if isinstance(value, tuple) else [value])} <= {int, float}


def test_simulating_numpys_costs_gives_plain_numbers():
    timeline = simulate(gpipe(3, 2), Costs(forward=np.array([1, 2, 1]), latency=np.int64(1)))
    assert timeline == simulate(gpipe(3, 2), Costs(forward=[1, 2, 1], latency=1))
    assert all(type(time) is int for span in timeline.spans for time in span[3:])


def test_whole_numbers_beyond_floats_stay_exact():
    huge = 10**400
    assert simulate(naive(1, 2), Costs(huge, huge, 1)).makespan == 4 * huge + 2


def test_equal_costs_are_one_and_cannot_be_changed():
    assert len({Costs(forward=[1, 2]), Costs(forward=(1, 2)), Costs(forward=np.array([1, 2])), Costs()}) == 2
    with pytest.raises(FrozenInstanceError):
        Costs().forward = 2


# -- what things cost --------------------------------------------------------------------------------------------------


@st.composite
def any_costs(draw, num_stages=3):
    return draw(reference.random_costs(num_stages))


@given(any_costs(), st.integers(0, 2))
def test_b_costs_what_i_and_w_cost(costs, stage):
    whole, halves = costs.split("B", stage), [costs.split(kind, stage) for kind in "IW"]
    assert whole == tuple(map(sum, zip(*halves, strict=True)))
    assert costs.duration("B", stage) == costs.duration("I", stage) + costs.duration("W", stage)


@given(any_costs(), st.sampled_from("FIWB"), st.integers(0, 2))
def test_split_and_duration(costs, kind, stage):
    assert costs.split(kind, stage) == reference.split(costs, kind, stage)
    assert costs.duration(kind, stage) == sum(reference.split(costs, kind, stage))


@given(any_costs(), st.integers(0, 2), st.sampled_from("BI"), st.integers(0, 2))
def test_a_pair(costs, forward, kind, backward):
    pair = Action.overlap(Action("F", forward, 0), Action(kind, backward, 1))
    assert costs.pair(forward, kind, backward) == reference.duration(costs, pair)


def test_a_pair_by_hand():
    costs = Costs(forward=[1, 2], backward_input=3, backward_weight=4, forward_comm=20, backward_input_comm=[0, 5])
    assert costs.pair(1, "I", 0) == max(2 + 3, 20 + 0)
    assert costs.pair(0, "B", 1) == max(1 + 3 + 4, 20 + 5 + 0)
    assert Costs(forward=1, backward_input=3, backward_weight=4).pair(0, "B", 0) == 8  # nothing to hide: no gain
    assert Costs(overlapped=[7, 9]).pair(1, "B", 0) == 9  # its forward's stage counts


@given(any_costs(num_stages=4))
def test_journeys(costs):
    """None at all where all messages are free."""
    each = tuple(reference.journey(costs, boundary) for boundary in range(3))
    assert costs.journeys(4) == (each if any(each) else ())
    assert [costs.message(boundary) for boundary in range(3)] == list(each)


def test_journeys_by_hand():
    assert Costs(latency=2, bandwidth=4, message_bytes=[8, 0]).journeys(3) == (4, 2)
    assert Costs(latency=2, message_bytes=[8, 0]).journeys(3) == (2, 2)  # no bandwidth given: infinite
    assert Costs(bandwidth=Fraction(3), message_bytes=1).journeys(2) == (Fraction(1, 3),)
    assert Costs(latency=1).journeys(1) == Costs(bandwidth=5).journeys(9) == ()


@pytest.mark.parametrize("name", ["forward_comm", "backward_input_comm", "backward_weight_comm"])
def test_communicates(name):
    assert Costs(**{name: 1}).communicates
    assert Costs(**{name: [0, Fraction(1, 9)]}).communicates
    assert not Costs(**{name: [0, 0]}).communicates
    assert not Costs(overlapped=1, latency=1).communicates


# -- units of time -----------------------------------------------------------------------------------------------------


@given(st.data())
def test_a_unit_is_changed_exactly(data):
    """And back it is what it was; a message takes as long as before."""
    costs = replace(data.draw(reference.random_costs(3)), unit=data.draw(st.sampled_from([*NANOSECONDS])))
    unit = data.draw(st.sampled_from([*NANOSECONDS]))
    changed, larger = costs.in_unit(unit), Fraction(NANOSECONDS[costs.unit], NANOSECONDS[unit])
    assert changed.in_unit(costs.unit) == costs
    for stage in range(3):
        assert changed.duration("B", stage) == costs.duration("B", stage) * larger
        assert changed.pair(stage, "I", stage) == costs.pair(stage, "I", stage) * larger
    assert float(changed.message(0)) == pytest.approx(float(costs.message(0) * larger))
    timelines = simulate(gpipe(3, 2), costs), simulate(gpipe(3, 2), changed)
    assert timelines[0].in_unit(unit).makespan == pytest.approx(timelines[1].makespan)


def test_without_a_unit_they_are_ms_where_time_is_real():
    assert Costs(2, 2, 2).in_unit("us") == Costs(2, 2, 2, unit="ms").in_unit("µs") == Costs(2000, 2000, 2000, unit="us")


def test_an_unknown_unit_can_be_simulated_only():
    assert simulate(gpipe(2, 2), Costs(unit="cycles")).unit == "cycles"
    with pytest.raises(ValueError, match="'cycles' is no known unit of time; there are s, ms, us, ns"):
        Costs(unit="cycles").in_unit("ms")
    with pytest.raises(ValueError, match="'' is no known unit of time"):
        simulate(gpipe(2, 2)).in_unit("ms")


# -- the same model in shorter stages ----------------------------------------------------------------------------------


@given(st.data())
def test_cutting_a_model_in_shorter_stages(data):
    """All work is still there, exactly; every rank has as much of it as before."""
    stages, parts = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))
    costs = data.draw(reference.random_costs(stages).filter(lambda costs: not isinstance(costs.message_bytes, tuple)))
    cut = costs.cut(parts)
    cut.require_stages(stages * parts)
    for stage in range(stages):
        mine = range(stage * parts, (stage + 1) * parts)
        for kind in "FIWB":
            assert sum(cut.duration(kind, each) for each in mine) == costs.duration(kind, stage)
        assert sum(cut.pair(each, "B", each) for each in mine) == costs.pair(stage, "B", stage)
    assert (cut.latency, cut.bandwidth, cut.message_bytes) == (costs.latency, costs.bandwidth, costs.message_bytes)


def test_cutting_needs_to_know_the_messages():
    assert Costs(message_bytes=[1, 2]).cut(1).message_bytes == (1, 2)
    with pytest.raises(ValueError, match="message_bytes must be one number"):
        Costs(message_bytes=[1, 2]).cut(2)
    with pytest.raises(ValueError, match="parts must be at least 1; got 0"):
        Costs().cut(0)
