"""An order of phases: placed as the real coroutines' order is, and the check tells what is amiss."""

import pytest

from pipelab import Costs
from pipelab.course import check_order
from pipelab.simulator.pair_timing import pair_times
from pipelab.simulator.segment_order import DEEPSEEK, NEEDS, all_orders, exposed, order_problems, place_segments

EVEN = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12)
SERIAL = [phase for phase in NEEDS if "(F)" in phase] + [phase for phase in NEEDS if "(F)" not in phase]


def end(placed):
    return max(phase.end for phase in placed)


@pytest.mark.parametrize("layers", [1, 2, 4, 7])
@pytest.mark.parametrize("exchange", [4, 12, 20])
def test_deepseeks_order_takes_what_the_coroutines_take(layers, exchange):
    costs = Costs(8, 8, 8, forward_comm=exchange, backward_input_comm=exchange)
    times = pair_times(costs, 2 * layers)
    placed = place_segments(DEEPSEEK, costs, layers)
    assert end(placed) == times.overlapped
    assert exposed(placed) == times.exposed


def test_every_possible_order_does_all_the_work_and_none_takes_less_than_a_stream():
    orders = list(all_orders())
    assert len({*orders}) == len(orders) == 840
    for order in orders:
        placed = place_segments(order, EVEN, layers=2)
        assert len(placed) == 2 * len(NEEDS)
        assert 24 <= end(placed) <= 48
        assert exposed(placed) == end(placed) - 24, "an order that waits for nothing but communication"


def test_the_check_accepts_the_best_and_explains_the_others():
    assert check_order(DEEPSEEK, EVEN)
    serial = check_order(SERIAL, EVEN)
    assert not serial
    assert "it takes 44; the best order takes 24.5" in str(serial)
    assert "before experts(B): combine(B) has not come yet" in str(serial)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (SERIAL[1:], "attention(F) is missing"),
        ([*SERIAL, "combine(F)"], "combine(F) is there 2 times"),
        ([*SERIAL, "lunch"], "'lunch' is no segment"),
        (SERIAL[::-1], "dispatch(F) comes before attention(F), which it needs"),
    ],
)
def test_impossible_orders_are_told_apart(order, said):
    assert said in order_problems(order)
    assert not check_order(order, EVEN)
    with pytest.raises(ValueError):
        place_segments(order, EVEN)
