"""An order of phases: placed as the real coroutines' order is, and the check tells what is amiss."""

import pytest

from pipelab import Costs
from pipelab.course import check_order
from pipelab.course.assignments import ASSIGNMENTS
from pipelab.course.checks.judge import Replies
from pipelab.course.checks.order_check import QUESTION, Machine
from pipelab.course.isolation import Answer
from pipelab.ir import ORDERS, SegmentOrder, all_orders, order_problems
from pipelab.simulator import place_segments
from pipelab.simulator.pair_timing import exposed

EVEN = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12)
DEEPSEEK = [str(segment) for segment in ORDERS["deepseek"].segments]
SERIAL = [text for text in DEEPSEEK if "(F)" in text] + [text for text in DEEPSEEK if "(F)" not in text]


def end(placed):
    return max(phase.end for phase in placed)


def test_every_possible_order_does_all_the_work_and_none_takes_less_than_a_stream():
    orders = list(all_orders())
    assert len({*orders}) == len(orders) == 840
    for order in orders:
        placed = place_segments(order, EVEN, layers=2)
        assert len(placed) == 2 * len(order)
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
    assert said in "; ".join(map(str, order_problems(order)))
    assert not check_order(order, EVEN)
    with pytest.raises(ValueError):
        place_segments(order, EVEN)


@pytest.mark.parametrize("answer", [None, 3, "lunch", [3], [["attention(F)"]]])
def test_what_is_no_list_of_segments_is_told(answer):
    assert "it returns no list of segments" in str(check_order(answer, EVEN))


def test_an_order_may_come_by_name_or_as_one():
    assert check_order("deepseek", EVEN) and check_order(ORDERS["deepseek"], EVEN)
    assert not check_order("megatron", EVEN)
    assert not check_order(SegmentOrder.of(SERIAL), EVEN)


def in_layers(order, layers):
    """The same, with numbers: as the forward goes up, the backward goes down."""
    return [f"{each}{layer if '(F)' in each else layers - 1 - layer}" for layer in range(layers) for each in order]


def test_an_order_of_numbered_layers_is_judged_where_there_are_as_many():
    asked = (in_layers(DEEPSEEK, 2), in_layers(SERIAL, 2), in_layers(SERIAL, 1))
    best, serial, other = (check_order(order, EVEN, layers=2) for order in asked)
    assert best and not serial and not other
    assert "is before experts(B): what it needs has not come" in str(serial)
    assert "it numbers 1 layer, but this stage has 2: without" in str(other)
    replies = Replies([QUESTION], [Answer(in_layers(DEEPSEEK, 3))])
    for judge in (Machine(EVEN).hides(), Machine(EVEN).runs()):
        share, (reason,) = judge(replies)
        assert share == 0 and "it numbers 3 layers, but this stage has 4: without numbers" in reason


def test_the_grader_runs_it_on_real_ranks():
    real = Machine(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12, unit="ms"), layers=1).runs()
    for order in (DEEPSEEK, SERIAL):  # what it hides is another question
        judged = real(Replies([QUESTION], [Answer(order)]))
        assert judged.share == 1 and "gradients equal those of a blocking pair" in judged.reasons[0]
    judged = real(Replies([QUESTION], [Answer(SERIAL[::-1])]))
    assert judged.share == 0 and "only an order that is possible can be run" in judged.reasons[0]


def test_the_assignment_has_ten_points_one_of_them_for_the_real_run():
    tests = ASSIGNMENTS["overlap-order"].tests
    assert sum(test.points for test in tests) == 10
    assert [test.points for test in tests if test.real] == [1]
