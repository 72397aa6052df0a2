"""ZB-H1, ZB-H2 and ZB-V: what their papers promise, and what the promise does not say."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pipelab import Costs, simulate
from pipelab.ir import v_shape
from pipelab.schedules import one_f_one_b, zb_h1, zb_h2, zb_v

from .cases import schedules

ranks = st.integers(1, 8)
more = st.integers(0, 12)  # micro-batches beyond those that a schedule needs


def order(schedule, rank):
    """A rank's program without its stage."""
    return " ".join(f"{action.kind}{action.microbatch}" for action in schedule.programs[rank])


def idle_inside(timeline):
    """Per rank: idle time between its first start and its last end."""
    spans = [[span for span in timeline.spans if span.rank == rank] for rank in range(timeline.num_ranks)]
    return [mine[-1].end - mine[0].start - busy for mine, busy in zip(spans, timeline.busy, strict=True)]


def test_zb_h1_by_hand():
    assert [order(zb_h1(3, 5), rank) for rank in range(3)] == [
        "F0 F1 F2 I0 W0 F3 I1 W1 F4 I2 W2 I3 W3 I4 W4",
        "F0 F1 I0 F2 I1 W0 F3 I2 W1 F4 I3 W2 I4 W3 W4",
        "F0 I0 F1 I1 F2 I2 W0 F3 I3 W1 F4 I4 W2 W3 W4",
    ]


def test_zb_h2_by_hand():
    assert [order(zb_h2(3, 6), rank) for rank in range(3)] == [
        "F0 F1 F2 F3 F4 I0 W0 F5 I1 W1 I2 W2 I3 W3 I4 W4 I5 W5",
        "F0 F1 F2 I0 F3 I1 F4 I2 W0 F5 I3 W1 I4 W2 I5 W3 W4 W5",
        "F0 I0 F1 I1 F2 I2 F3 I3 F4 I4 W0 F5 I5 W1 W2 W3 W4 W5",
    ]


@given(ranks, st.integers(1, 20))
def test_zb_h1_is_one_f_one_b_with_weight_gradients_put_off(p, m):
    for rank, program in enumerate(zb_h1(p, m).programs):
        without_w = [(action.kind.replace("I", "B"), *action[1:]) for action in program if action.kind != "W"]
        assert without_w == [tuple(action) for action in one_f_one_b(p, m).programs[rank]]


@given(ranks, more)
def test_zb_h1_has_one_f_one_bs_memory_on_every_rank(p, extra):
    assert simulate(zb_h1(p, p + extra)).peak_activations == (max(simulate(one_f_one_b(p, p)).peak_activations),) * p


@given(ranks, more)
def test_zb_h2_never_idles_between_its_first_and_its_last_action(p, extra):
    timeline = simulate(zb_h2(p, 2 * p - 1 + extra))
    assert idle_inside(timeline) == [0] * p
    assert timeline.peak_activations == (2 * p - 1,) * p


@given(ranks, more)
def test_zb_h2_ends_no_sooner_than_zb_h1(p, extra):
    """Zero bubble is a rank's own; the step takes as long as ever."""
    one, two = (simulate(build(p, 2 * p - 1 + extra)) for build in (zb_h1, zb_h2))
    assert one.makespan == two.makespan
    assert one.idle == two.idle


def test_zb_h1_idles_where_zb_h2_does_not():
    assert any(idle_inside(simulate(zb_h1(4, 8))))


@given(ranks, more)
def test_zb_v_never_idles_between_its_first_and_its_last_action(p, extra):
    timeline = simulate(zb_v(p, 2 * p - 1 + extra))
    assert idle_inside(timeline) == [0] * p
    assert timeline.makespan == 6 * (2 * p - 1 + extra) + p - 1


@given(schedules("zb-v"))
def test_zb_v_has_one_f_one_bs_memory(schedule):
    """Two stages of half the length a rank: 2P activations of them are P of 1F1B's."""
    assert max(simulate(schedule).peak_activations) <= 2 * schedule.num_ranks
    assert schedule.placement == v_shape(schedule.num_ranks)


@given(st.integers(2, 7), st.integers(1, 12))
def test_zb_v_of_few_microbatches_is_that_of_more_without_them(p, m):
    full = max(m, 2 * p - 1)
    left = [tuple(action for action in program if action.microbatch < m) for program in zb_v(p, full).programs]
    assert zb_v(p, m).programs == tuple(left)


@pytest.mark.parametrize(
    ("build", "ranks", "microbatches", "makespan"),
    [(zb_h1, 4, 8, 27), (zb_h2, 4, 8, 27), (zb_h1, 8, 20, 67), (zb_h2, 8, 20, 67), (zb_v, 4, 8, 51)],
)
def test_known_makespans(build, ranks, microbatches, makespan):
    assert simulate(build(ranks, microbatches)).makespan == makespan


@given(schedules("zb-h1", "zb-h2", "zb-v"))
def test_all_that_can_wait_is_split(schedule):
    assert {action.kind for program in schedule.programs for action in program} == set("FIW")


@given(schedules("zb-h1", "zb-h2"), st.integers(1, 9))
def test_no_order_helps_where_there_is_no_weight_gradient(schedule, cost):
    """With W = 0 nothing can fill a gap: 1F1B's time at best."""
    p, m = schedule.num_ranks, schedule.num_microbatches
    costs = Costs(cost, cost, 0)
    assert simulate(schedule, costs).makespan >= simulate(one_f_one_b(p, m), costs).makespan
