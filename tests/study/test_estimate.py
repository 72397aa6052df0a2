"""What a step of a model like DeepSeek-V3 would take, and what a schedule's gain is made of."""

from dataclasses import replace
from html import escape

import pytest
from hypothesis import given, strategies as st

from pipelab import Costs, build, estimate_step, simulate
from pipelab.study.estimate import ASSUMPTIONS


def test_deepseek_v3():
    """16 stages, 120 micro-batches: of DualPipe's ten seconds, bubbles are the smaller part by far."""
    steps = estimate_step(ranks=16, microbatches=120, schedules=["1f1b", "zb-h1", "dualpipe"])
    assert [round(row.step, 1) for row in steps] == [27.8, 26.9, 17.9]
    dualpipe = steps["dualpipe"]
    assert round(dualpipe.saved, 2) == 9.95
    assert round(dualpipe.saved_by_hiding, 1) == 8.5
    assert round(dualpipe.saved_by_bubble, 2) == 1.45
    assert (steps["1f1b"].saved, steps["1f1b"].hidden_communication) == (0, 0)
    assert steps["zb-h1"].saved_by_hiding == pytest.approx(0, abs=1e-9)


def test_closed_forms():
    """1F1B and ZB1P by DeepSeek's own table: (M + P - 1)(F + B), and a bubble of (P - 1)(F + B - 2W)."""
    costs = Costs.deepseek_v3()
    whole, w = costs.duration("F", 0) + costs.duration("B", 0), costs.duration("W", 0)
    steps = estimate_step(ranks=8, microbatches=40)
    assert steps["1f1b"].step == pytest.approx((40 + 7) * whole / 1000)
    assert steps["1f1b"].bubble == pytest.approx(7 * whole / 1000)
    assert steps["zb-h1"].bubble == pytest.approx(7 * (whole - 2 * w) / 1000)


times = st.integers(1, 50)


@given(st.sampled_from([2, 4]), st.integers(0, 3), times, times, times, st.integers(0, 50), st.integers(0, 50))
def test_parts_add_up(ranks, more, f, i, w, f_comm, i_comm):
    costs = Costs(f, i, w, forward_comm=f_comm, backward_input_comm=i_comm)
    steps = estimate_step(ranks, microbatches := 2 * (ranks + more), costs, schedules=["1f1b", "dualpipe"])
    for row in steps:
        schedule = build(row.name, ranks, microbatches)
        timeline = simulate(schedule, costs)
        assert row.step == pytest.approx(timeline.makespan / 1000)
        assert row.bubble_fraction == pytest.approx(row.bubble / row.step)
        work = microbatches * (f + i + w + f_comm + i_comm) / 1000  # of a rank, if nothing is hidden
        assert row.step == pytest.approx(row.bubble + work - row.hidden_communication)
        assert row.communication == pytest.approx(microbatches * (f_comm + i_comm) / 1000)
        assert 0 <= row.hidden_communication <= row.communication + 1e-9
        assert row.saved == pytest.approx(steps[0].step - row.step)
        pairs = sum(action.is_pair for program in schedule.programs for action in program)
        gained = f + i + w + f_comm + i_comm - max(f + i + w, f_comm + i_comm)
        assert row.hidden_communication == pytest.approx(pairs * gained / ranks / 1000)


@given(times, times, times)
def test_without_communication_nothing_is_gained_by_hiding(f, i, w):
    for row in estimate_step(4, 8, Costs(f, i, w), schedules=["1f1b", "zb-h1", "dualpipe"]):
        assert row.saved_by_hiding == row.hidden_communication == row.communication == 0


def test_pairs_that_hide_all_and_pairs_that_hide_nothing():
    costs = Costs.deepseek_v3()
    whole = costs.duration("F", 0) + costs.duration("B", 0)
    nothing = estimate_step(16, 120, replace(costs, overlapped=whole), schedules=["1f1b", "dualpipe"])["dualpipe"]
    measured = estimate_step(16, 120, schedules=["1f1b", "dualpipe"])["dualpipe"]
    assert nothing.saved_by_hiding == nothing.hidden_communication == 0
    assert nothing.saved == pytest.approx(measured.saved_by_bubble)


def test_more_stages_than_ranks():
    """The model is the same: DualPipeV on as many ranks takes about DualPipe's time."""
    steps = estimate_step(16, 120, schedules=["1f1b", "dualpipe", "dualpipe-v"])
    assert steps["dualpipe-v"].step == pytest.approx(steps["dualpipe"].step, rel=0.01)
    assert steps["dualpipe-v"].communication == steps["dualpipe"].communication


def test_left_out():
    steps = estimate_step(3, 8, schedules=["1f1b", "dualpipe"])
    assert [row.name for row in steps] == ["1f1b"]
    assert "even number of ranks" in steps.left_out["dualpipe"]
    with pytest.raises(KeyError, match="even number of ranks"):
        steps["dualpipe"]
    with pytest.raises(KeyError, match="gpipe"):
        steps["gpipe"]
    with pytest.raises(ValueError, match="dualpipe, with which the others are compared, is left out: .*even number"):
        estimate_step(3, 8, schedules=["dualpipe", "1f1b"])


def test_it_prints_with_its_assumptions():
    steps = estimate_step(3, 8, schedules=["1f1b", "dualpipe"])
    text = str(steps)
    assert text.splitlines()[1].split() == ["1f1b", "2.06", "20.0", "0.0", "0.00", "0.00", "0.00"]
    assert "without dualpipe: DualPipe needs an even number" in text
    assert steps.assumptions == ASSUMPTIONS
    assert all(f"- {assumption}" in text for assumption in ASSUMPTIONS)
    html = steps._repr_html_()
    assert ">2.06</td>" in html
    assert all(escape(assumption) in html.partition("<details>")[2] for assumption in ASSUMPTIONS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedules": ["2f2b"]}, "no schedule is called '2f2b'"),
        ({"schedules": []}, "name at least one schedule"),
        ({"ranks": 0}, "ranks"),
        ({"microbatches": 1.5}, "microbatches"),
        ({"costs": Costs(forward=[1, 2])}, "every cost must be one number"),
    ],
)
def test_what_can_not_be_estimated(arguments, message):
    with pytest.raises(ValueError, match=message):
        estimate_step(**arguments)
