"""Comparison: the same model on the same ranks, whatever a schedule cuts it into."""

from __future__ import annotations

from fractions import Fraction
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings, strategies as st

from pipelab import Costs, build, compare_schedules, simulate, theory
from pipelab.ir import lower
from pipelab.schedules import SCHEDULES

numbers = st.integers(0, 9) | st.fractions(0, 9, max_denominator=6)


@given(st.integers(1, 6), st.integers(1, 12), st.integers(1, 3), numbers, numbers, numbers)
@settings(max_examples=50)
def test_every_rank_has_the_same_work_in_every_schedule(ranks, microbatches, chunks, f, i, w):
    """Where a pair gains nothing: M micro-batches through a P-th of the model."""
    for row in compare_schedules(ranks, microbatches, Costs(f, i, w), chunks=chunks):
        assert row.timeline.busy == (microbatches * (f + i + w),) * ranks
        assert row.makespan == row.bubble + microbatches * (f + i + w)
        assert row.stages == row.schedule.num_stages


@given(st.integers(1, 4), st.integers(1, 8), st.integers(0, 5))
@settings(max_examples=40)
def test_its_figures_are_the_simulations_and_the_messages_that_are_sent(ranks, microbatches, size):
    costs = Costs(2, 2, 2, latency=1, message_bytes=size)
    for row in compare_schedules(2 * ranks, microbatches, costs, chunks=2):
        parts = row.stages // (2 * ranks)
        again = simulate(row.schedule, Costs(2 // parts, 2 // parts, 2 // parts, latency=1))
        assert (row.makespan, row.bubble_fraction) == (again.makespan, again.bubble_fraction)
        assert row.peak_activations == tuple(Fraction(peak, parts) for peak in again.peak_activations)
        sends = sum(a.kind.startswith("SEND") for program in lower(row.schedule).programs for a in program)
        assert (row.messages, row.bytes) == (sends, size * sends)


def test_what_a_schedule_is_not_made_for_is_left_out_with_the_reason():
    table = compare_schedules(3, 7)
    assert [*table.left_out] == ["dualpipe"]
    assert "even number of ranks" in table.left_out["dualpipe"]
    assert [row.name for row in table] == [name for name in SCHEDULES if name != "dualpipe"]
    assert "without dualpipe: DualPipe needs an even number of ranks" in str(table)
    with pytest.raises(KeyError, match="even number of ranks"):
        table["dualpipe"]


def test_rows_by_name_and_number():
    table = compare_schedules(4, 8, schedules=["dualpipe", "1f1b"])
    assert [row.name for row in table] == ["dualpipe", "1f1b"]
    assert table["1f1b"] is table[1] is table[-1]
    assert (len(table), table[:1]) == (2, (table[0],))
    with pytest.raises(KeyError, match="gpipe"):
        table["gpipe"]


def test_the_price_of_dualpipe():
    """Twice the parameters for P+1 activations; its V needs no second copy, but more messages."""
    table = compare_schedules(4, 8)
    whole, folded, plain = table["dualpipe"], table["dualpipe-v"], table["1f1b"]
    assert (whole.parameters, folded.parameters, plain.parameters) == (2, 1, 1)
    assert (max(whole.peak_activations), max(folded.peak_activations), max(plain.peak_activations)) == (5, 4.5, 4)
    assert (whole.messages, folded.messages, plain.messages) == (48, 96, 48)
    assert max(theory("dualpipe", 4, 8).peak_activations) == 5


def test_stages_that_differ():
    """The P-th of every rank is cut in equal parts, which a schedule may place on another one."""
    costs = Costs(forward=[2, 4], backward_input=[2, 2], backward_weight=[2, 6], overlapped=[6, 8])
    table = compare_schedules(2, 4, costs)
    assert table["1f1b"].timeline.busy == table["zb-h2"].timeline.busy == (24, 48)
    assert table["interleaved"].timeline.busy == table["zb-v"].timeline.busy == (36, 36)  # each has half of either
    assert simulate(build("1f1b", 2, 4), costs).makespan == table["1f1b"].makespan


class Cells(HTMLParser):
    """The text of a table's cells, row by row."""

    def __init__(self, html):
        super().__init__()
        self.rows = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])

    def handle_data(self, data):
        if self.rows:
            self.rows[-1].append(data)


def test_as_text_and_as_html_it_says_the_same():
    table = compare_schedules(4, 8, Costs(overlapped=2.2, message_bytes=100))
    assert repr(table) == str(table)
    lines = str(table).splitlines()
    assert [line.split() for line in lines][1:] == Cells(table._repr_html_()).rows[1:]
    assert lines[0].split()[:3] == ["schedule", "stages", "makespan"]
    assert next(line for line in lines if line.startswith("dualpipe ")).split() == [
        *("dualpipe", "4", "22.8", "1.2", "5.3", "5", "2×", "48", "4800")
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"ranks": 0}, "ranks must be at least 1; got 0"),
        ({"microbatches": 0}, "microbatches must be at least 1; got 0"),
        ({"chunks": 0}, "chunks must be at least 1; got 0"),
        ({"schedules": ["1f1b", "pipe"]}, "no schedule is called 'pipe'"),
        ({"costs": Costs(forward=[1, 2])}, "forward lists 2 costs; the schedule has 4 stages"),
        ({"costs": Costs(message_bytes=[1, 2, 3])}, "message_bytes must be one number"),
    ],
)
def test_arguments_that_make_no_sense(arguments, said):
    with pytest.raises(ValueError, match=said):
        compare_schedules(**{"ranks": 4, "microbatches": 8, **arguments})


def test_it_says_in_which_unit_its_times_are():
    assert "times in us" in str(compare_schedules(2, 4, Costs(1, 1, 1, unit="µs"), schedules=["gpipe"]))
    assert "times in" not in str(compare_schedules(2, 4, schedules=["gpipe"]))
