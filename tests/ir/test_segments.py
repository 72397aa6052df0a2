"""Orders of segments: what can be done and what can't, read, printed, in layers; no program gets stuck."""

from __future__ import annotations

import time
from collections import Counter
from itertools import permutations

import pytest
from hypothesis import given, strategies as st

from pipelab.ir import ORDERS, Segment, SegmentOrder, all_orders, order_problems
from pipelab.ir.pair_program import pair_program, play
from pipelab.ir.segments import LAST, needs

ALL = [*all_orders()]
SERIAL = ["attention(F)", "dispatch(F)", "experts(F)", "combine(F)", "combine(B)", "experts(B)", "dispatch(B)"]
SERIAL += ["experts(W)", "attention(B)", "attention(W)"]
orders = st.sampled_from([*ORDERS.values(), *map(SegmentOrder, ALL)])


class Told:
    """Checks, as it is told, that everything is there that a segment needs."""

    def __init__(self, program):
        self.needs, self.over, self.under_way, self.did = program.needs, set(), set(), []

    def compute(self, segment):
        assert self.needs.get(segment) in (None, *self.over)
        self.over.add(segment)
        self.did.append(segment)

    def start(self, segment):
        assert self.needs.get(segment) in (None, *self.over)
        self.under_way.add(segment)
        self.did.append(segment)

    def arrive(self, segment):
        assert segment in self.under_way, "nobody has sent it"
        self.over.add(segment)


def test_every_text_is_read_as_it_is_printed():
    for segment in {*ALL[0], Segment("experts", "BW"), Segment("dispatch", "B", 12)}:
        assert Segment.parse(str(segment)) == segment
    for wrong in ("experts", "experts()", "experts(B)x", "", "experts(B) attention(F)", None, "a(B)123456"):
        with pytest.raises(ValueError, match="is no segment"):
            Segment.parse(wrong)


def test_the_known_orders_can_be_done_and_are_found_by_name():
    for name, order in ORDERS.items():
        assert order.problems == () and order.name == name and SegmentOrder.of(name) is order is SegmentOrder.of(order)
        assert order.layers is None
    assert ORDERS["deepseek"].segments in ALL
    with pytest.raises(ValueError, match="an order is one of deepseek, megatron, or a list"):
        SegmentOrder.of("alphabetical")
    for wrong in (5, None, {*SERIAL}, dict.fromkeys(SERIAL)):
        with pytest.raises(ValueError, match="or a list of segments such as 'attention.F.'; got"):
            SegmentOrder.of(wrong)
    with pytest.raises(ValueError, match="or a list of segments such as 'attention.F.'; got None"):
        order_problems(None)
    for segments in (list(ALL[0]), tuple(SERIAL)):
        with pytest.raises(ValueError, match="must be a tuple of Segment; SegmentOrder.of"):
            SegmentOrder(segments)
    assert order_problems("deepseek") == order_problems(ORDERS["megatron"]) == ()


def test_an_order_of_many_layers_is_read_in_a_moment():
    up = [Segment(*each[:2], layer) for layer in range(2000) for each in ALL[0]]
    began = time.monotonic()
    assert "combine(B)0 comes before attention(B)1" in str(order_problems(up)[0])
    assert time.monotonic() - began < 5
    text = "x" * 100_000
    assert len(str(order_problems([text, f"{text}(F)"])[0])) < 100


def test_all_orders_are_all_that_have_no_problem():
    """Of each direction by itself every permutation is tried: 24 of a forward, 720 of a backward."""
    forward = [s for s in ALL[0] if s.direction == "F"]
    backward = [s for s in ALL[0] if s.direction != "F"]
    possible = [
        [p for p in permutations(part) if not SegmentOrder((*p, *rest)).problems]
        for part, rest in ((forward, backward), (backward, forward))
    ]
    assert [len(each) for each in possible] == [1, 4]
    assert len({*ALL}) == len(ALL) == 210 * 4
    assert {tuple(s for s in order if s.direction != "F") for order in ALL} == {*possible[1]}


@pytest.mark.parametrize(
    ("order", "code", "said"),
    [
        (SERIAL[1:], "missing", "attention(F) is missing"),
        ([*SERIAL, "combine(F)"], "duplicate", "combine(F) is there 2 times"),
        ([*SERIAL, "experts(BW)"], "duplicate", "experts(B) is there beside experts(BW)"),
        ([*SERIAL, "lunch"], "unknown", "'lunch' is no segment"),
        ([*SERIAL, "lunch(F)"], "unknown", "'lunch(F)' is no segment"),
        ([*SERIAL, "dispatch(W)"], "unknown", "'dispatch(W)' is no segment"),
        ([*SERIAL, "sum(F)"], "unknown", "'sum(F)' is no segment"),
        (SERIAL[::-1], "order", "dispatch(F) comes before attention(F), which it needs"),
        ([*SERIAL[:-1], "attention(W)3"], "layers", "attention(W)3 is of one layer, but attention(F) is not"),
        ([f"{each}1" for each in SERIAL], "missing", "layer 0 is missing"),
        ([f"{each}0" for each in SERIAL] + ["attention(F)9999"], "missing", "layer 1 is missing"),
        ([], "missing", "attention(F) is missing"),
    ],
)
def test_what_is_wrong_has_a_reason(order, code, said):
    problems = order_problems(order)
    found = [problem for problem in problems if said in str(problem)]
    assert found and found[0].code == code
    assert (found[0].needs is not None) == (code == "order")
    if code != "unknown" or "(" in said.split()[0]:
        with pytest.raises(ValueError) as error:
            pair_program(SegmentOrder.of(order), 2, 2)
        assert said in str(error.value)


def test_layers_are_ordered_against_each_other():
    up = [f"{each}{layer}" for layer in range(2) for each in SERIAL[:4]]
    down = [f"{each}{layer}" for layer in (1, 0) for each in SERIAL[4:]]
    assert not order_problems(up + down)
    wrong = [f"{each}{layer}" for layer in (0, 1) for each in SERIAL[4:]]
    assert "combine(B)0 comes before attention(B)1, which it needs" in map(str, order_problems(up + wrong))
    order = SegmentOrder.of(up + down)
    assert order.layers == 2
    assert pair_program(order, 4, 4).exchanges[:2] == (Segment("dispatch", "F", 0), Segment("combine", "F", 0))
    with pytest.raises(ValueError, match="'yours' lists 2 layers, with two exchanges each; the stage has 6"):
        pair_program(order, 6, 4)


@given(orders, st.none() | st.integers(0, 9), st.none() | st.integers(0, 9), st.booleans())
def test_a_program_does_all_once_in_order_and_never_gets_stuck(order, forward, backward, weights):
    """Whatever the stages: of different lengths, of an odd number of exchanges, with none, or with one pass only."""
    program = pair_program(order, forward, backward, weights)
    told = Told(program)
    play(program, told)
    assert Counter(told.did) == Counter((*program.computations, *program.exchanges))
    assert max(Counter(told.did).values(), default=1) == 1
    for exchanges, directions in ((forward, ("F",)), (backward, ("B", "BW"))):
        mine = [s for s in told.did if s.direction in directions]
        assert sum(s.communicates for s in mine) == (exchanges or 0)
        computed = sum(not s.communicates for s in mine)
        assert computed == (0 if exchanges is None else exchanges + 1)
    whole = backward is not None and weights
    owed = [s for s in told.did if s.direction in ("W", "BW")]
    assert len(owed) == (backward + 1 if whole else 0)


@given(orders, st.integers(1, 5))
def test_each_stream_keeps_to_the_order_in_every_layer(order, layers):
    program = pair_program(order, 2 * layers, 2 * layers)
    for stream, communicates in ((program.computations, False), (program.exchanges, True)):
        names = [(s.name, s.direction) for s in stream if s.name != LAST]
        assert names == layers * [(s.name, s.direction) for s in order.segments if s.communicates == communicates]


def test_needs_name_the_one_before():
    first = needs(SegmentOrder.of("megatron").segments)
    assert str(first[Segment("dispatch", "B")]) == "experts(BW)"
    assert Segment("attention", "F") not in first and Segment("combine", "B") not in first
