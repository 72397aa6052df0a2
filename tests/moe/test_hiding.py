"""Hiding: what the experiment says of a pair on real ranks. Its figures are in benchmarks/hiding.py."""

from __future__ import annotations

import pytest

from pipelab import Costs
from pipelab.moe.hiding import PARTS, hide


@pytest.fixture(scope="module")
def held():
    return hide(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12), layers=2, repeats=1)


def test_overlap_changes_no_gradient(held) -> None:
    assert held.gradients_equal


def test_blocking_hides_nothing(held) -> None:
    blocking, _ = held.timelines
    for rank in range(2):
        spans = sorted((s.start, s.end) for s in blocking.spans if s.rank == rank)
        assert all(end <= start + 1e-6 for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert held.blocking >= 24 + 24


def test_both_streams_are_there_and_held(held) -> None:
    for timeline in held.timelines:
        assert {span.stream for span in timeline.spans} == {"compute", "comm"}
        assert set(timeline.actions) == set(PARTS.values())
        assert (timeline.source, timeline.note) == ("paced", "emulated link")
    assert 0 < held.communication <= 24.001
    assert held.overlapped >= 24
    assert 0 <= held.exposed <= held.communication


def test_the_table_shows_what_was_measured_and_what_simulated(held) -> None:
    times = (held.forward, held.backward, held.blocking, held.overlapped, held.exposed)
    assert held.table.column("measured") == times
    assert held.table.column("simulated")[:3] == (20, 28, 48)
    assert str(held).endswith("outputs and gradients of both pairs: equal")


def test_segments_of_rank_0_are_in_the_order_of_deepseeks_profile(held) -> None:
    comm = [f"{name}({direction})" for stream, name, direction, *_ in held.segments if stream == "comm"]
    assert comm == 2 * ["combine(B)", "dispatch(F)", "dispatch(B)", "combine(F)"]


def test_a_real_link() -> None:
    result = hide(layers=1, repeats=1)
    assert result.gradients_equal
    assert {timeline.source for timeline in result.timelines} == {"measured"}
    assert not any(timeline.note for timeline in result.timelines)


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="layers must be at least 1"):
        hide(layers=0)
    with pytest.raises(ValueError, match="forward lists 2 costs"):
        hide(Costs(forward=[1, 2]))
