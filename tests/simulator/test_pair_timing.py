"""Phases, simulated: bounds, closed forms, and what they have in common with Costs."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from pipelab import Costs
from pipelab.ir import ORDERS, Segment, SegmentOrder, all_orders
from pipelab.ir.segments import STEPS
from pipelab.schedules import dualpipe, one_f_one_b
from pipelab.simulator.pair_timing import SegmentCosts, exposed, pair_times, place_segments, with_segments

numbers = st.integers(0, 30)
costs = st.builds(
    Costs,
    forward=numbers,
    backward_input=numbers,
    backward_weight=numbers,
    forward_comm=numbers,
    backward_input_comm=numbers,
)


@given(costs, st.integers(1, 10))
def test_a_pair_is_between_the_larger_stream_and_the_sum(costs: Costs, exchanges: int) -> None:
    times = pair_times(costs, exchanges)
    assert costs.pair(0, "B", 0) <= times.overlapped <= times.serial
    assert times.overlapped <= times.forward + times.backward
    assert times.forward == costs.duration("F", 0)
    weights = costs.split("W", 0)[0]
    assert costs.duration("B", 0) - weights <= times.backward <= costs.duration("B", 0)
    communication = costs.split("F", 0)[1] + costs.split("B", 0)[1]
    assert times.overlapped - times.exposed <= costs.split("F", 0)[0] + costs.split("B", 0)[0]
    assert 0 <= times.exposed <= communication


@pytest.mark.parametrize("layers", [1, 2, 4, 16])
def test_with_more_layers_the_pair_comes_near_to_the_larger_stream(layers: int) -> None:
    """At 1:1, what can't be hidden is half of one computation, however many there are."""
    times = pair_times(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12), exchanges=2 * layers)
    assert times.overlapped == 24 + Fraction(8, 2 * layers) / 2


@given(costs, st.integers(1, 10))
def test_a_schedules_pairs_take_what_phases_take(costs: Costs, exchanges: int) -> None:
    schedule, times = dualpipe(4, 8), pair_times(costs, exchanges)
    both = dict.fromkeys(range(4), exchanges)
    assert set(with_segments(costs, schedule, both).overlapped) == {times.overlapped}
    assert set(with_segments(costs, schedule, both, overlap=False).overlapped) == {times.serial}
    assert set(with_segments(costs, schedule, {}).overlapped) == {costs.pair(0, "B", 0)}


@pytest.mark.parametrize("exchanges", [1, 3, 7])
def test_half_a_layer_hides_as_well_as_whole_ones(exchanges: int) -> None:
    """Its backward, too, begins with an exchange, of which the forward's first computation hides half."""
    times = pair_times(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12), exchanges)
    assert times.exposed == Fraction(4, exchanges) and times.overlapped == 24 + times.exposed


def test_pairs_of_uneven_stages_cost_their_own_forward_and_backward() -> None:
    costs = Costs([1, 2], [3, 4], [5, 6], forward_comm=[7, 8], backward_input_comm=[9, 10])
    serial = with_segments(costs, dualpipe(2, 8), {0: 4, 1: 4}, overlap=False).overlapped
    assert serial == (1 + 7 + 4 + 10 + 6, 2 + 8 + 3 + 9 + 5)
    assert with_segments(costs, one_f_one_b(2, 4), {0: 4, 1: 4}) is costs


def test_nothing_to_exchange() -> None:
    times = pair_times(Costs(3, 4, 5, forward_comm=2), exchanges=0)
    assert (times.forward, times.backward, times.overlapped, times.exposed) == (5, 9, 14, 0)


def test_one_layer_by_hand() -> None:
    """compute F 1 each, I 1, W 1, exchanges 1.5: see where each phase lies."""
    half = Fraction(1, 2)
    times = pair_times(Costs(2, 2, 2, forward_comm=3, backward_input_comm=3), exchanges=2)
    assert times.overlapped == 6 + half
    spans = {
        stream: [(s.start, s.end) for s in times.timeline.spans if s.stream == stream] for stream in ("compute", "comm")
    }
    assert spans["comm"] == [(0, 3 * half), (3 * half, 3), (3, 9 * half), (9 * half, 6)]
    assert spans["compute"] == [
        (0, 1),  # attention(F)
        (3 * half, 5 * half),  # experts(B), after combine(B)
        (5 * half, 7 * half),  # experts(W)
        (7 * half, 9 * half),  # experts(F)
        (9 * half, 11 * half),  # attention(B)
        (11 * half, 13 * half),  # attention(W)
    ]


ANY_ORDER = st.sampled_from([*ORDERS.values(), *map(SegmentOrder, all_orders())])


@given(costs, st.integers(1, 4), ANY_ORDER)
def test_any_order_takes_no_less_than_a_stream_and_no_more_than_everything(
    costs: Costs, layers: int, order: SegmentOrder
) -> None:
    placed = place_segments(order, costs, layers=layers)
    times = pair_times(costs, 2 * layers, order=order)
    assert placed == times.segments and len(placed) == layers * len(order.segments)
    assert times.overlapped == max(segment.end for segment in placed)
    assert times.exposed == exposed(placed)
    assert costs.pair(0, "B", 0) <= times.overlapped <= times.serial


@given(costs, st.integers(1, 4), ANY_ORDER)
def test_no_segment_begins_before_what_it_needs_and_each_as_soon_as_it_can(
    costs: Costs, layers: int, order: SegmentOrder
) -> None:
    """Worked out once more, from the order alone: by its streams and by what each segment needs."""
    exchanges, free, ends = 2 * layers, {False: 0, True: 0}, {}
    parts = SegmentCosts.of(costs, 0, exchanges)
    for number in range(layers):
        for each in order.segments:
            each = each._replace(layer=number if each.direction == "F" else layers - 1 - number)
            ends[each] = free[each.communicates] = max(
                free[each.communicates], ends.get(before(each, ends), 0)
            ) + parts.cost(each)
    assert pair_times(costs, exchanges, order=order).overlapped == max(ends.values())


def before(segment: Segment, done: dict[Segment, int]) -> Segment:
    """What a segment needs, by hand."""
    name, direction, layer = segment
    if direction == "W":
        return Segment(name, "B", layer)
    place = STEPS.index(name) + len(STEPS) * layer + (-1 if direction == "F" else 1)
    needed = Segment(STEPS[place % len(STEPS)], "F" if direction == "F" else "B", place // len(STEPS))
    whole = needed._replace(direction="BW")
    return whole if whole in done else needed


@pytest.mark.parametrize(("layers", "deepseek", "megatron"), [(1, 195, 210), (2, 187.5, 210), (4, 183.75, 210)])
def test_weights_that_come_with_the_inputs_hold_up_what_is_to_be_sent(layers: int, deepseek: float, megatron: float):
    costs = Costs(60, 60, 60, forward_comm=90, backward_input_comm=90)
    found = [float(pair_times(costs, 2 * layers, order=order).overlapped) for order in ("deepseek", "megatron")]
    assert found == [deepseek, megatron]


def test_a_schedules_pairs_take_what_the_order_takes() -> None:
    costs, both = Costs(60, 60, 60, forward_comm=90, backward_input_comm=90), {0: 4, 1: 4}
    for order in ORDERS:
        found = with_segments(costs, dualpipe(2, 8), both, order=order).overlapped
        assert set(found) == {pair_times(costs, 4, order=order).overlapped}


def test_exchanges_that_are_none() -> None:
    with pytest.raises(ValueError, match="exchanges must be at least 0"):
        pair_times(Costs(), -1)
