"""Hiding: what the experiment says of a pair on real ranks. Its figures are in benchmarks/hiding.py."""

from __future__ import annotations

import pytest

from pipelab import Costs
from pipelab.ir import SegmentOrder
from pipelab.ir.pair_program import pair_program
from pipelab.moe.hiding import PARTS, _in_order, hide
from pipelab.overlap.streams import SegmentSpan


@pytest.fixture(scope="module")
def held():
    return hide(pace=Costs(8, 8, 8, forward_comm=12, backward_input_comm=12, unit="ms"), layers=2, repeats=1)


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
        assert set(timeline.actions) == {PARTS[direction] for direction in ("F", "B", "W")}
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


#: From one that hides nearly all to one that hides next to nothing.
MINE = ["attention(F)", "dispatch(F)", "combine(B)", "experts(B)", "experts(F)", "combine(F)"]
MINE += ["dispatch(B)", "attention(B)", "attention(W)", "experts(W)"]
COSTS = Costs(40, 40, 40, forward_comm=60, backward_input_comm=60, unit="ms")


@pytest.mark.parametrize("order", ["deepseek", "megatron", MINE], ids=["deepseek", "megatron", "mine"])
def test_an_order_is_run_as_it_is_and_takes_what_was_predicted(order) -> None:
    found = hide(order, pace=COSTS, layers=1, repeats=1)
    assert found.in_order and found.gradients_equal
    streams = {stream: [f"{s[1]}({s[2]})" for s in found.segments if s[0] == stream] for stream in ("compute", "comm")}
    asked = SegmentOrder.of(order).segments
    assert streams["compute"] == [str(segment) for segment in asked if not segment.communicates]
    assert streams["comm"] == [str(segment) for segment in asked if segment.communicates]
    # It is held to its costs, so it can't be faster; how much slower is up to the machine.
    assert found.overlapped >= float(found.simulated.overlapped) - 0.1
    predicted, measured = found.panels
    name = order if isinstance(order, str) else "yours"
    assert (predicted, measured) == (f"{name} · simulated", f"{name} · rank 0 · paced, emulated link")


def test_a_rank_that_does_not_keep_to_the_order_is_told() -> None:
    order, other = SegmentOrder.of("deepseek"), SegmentOrder.of(MINE)
    program = pair_program(other, 2, 2)
    spans = [SegmentSpan(s.name, s.direction, "compute", 0, 1) for s in program.computations]
    spans += [SegmentSpan(s.name, s.direction, "comm", 0, 1) for s in program.exchanges]
    assert _in_order(spans, other, layers=1)
    assert not _in_order(spans, order, layers=1)
    assert not _in_order(spans[:-1], other, layers=1)


@pytest.mark.parametrize("computation", [(2, 4, 0), (0, 0, 2), (0, 0, 0)])
@pytest.mark.parametrize("order", ["deepseek", "megatron"])
def test_what_is_given_no_time_is_in_order_all_the_same(order: str, computation: tuple[int, int, int]) -> None:
    found = hide(order, pace=Costs(*computation, forward_comm=2, backward_input_comm=2), layers=1, repeats=1)
    assert found.in_order and found.gradients_equal


def test_a_link_alone_is_emulated() -> None:
    found = hide(pace=Costs(0, 0, 0, latency=0.02, unit="s"), layers=1, repeats=1)
    assert found.simulated is None and found.gradients_equal and found.in_order
    assert found.timelines[1].note == "emulated link"
    assert sum(stream == "comm" for stream, *_ in found.segments) == 4
    assert found.overlapped >= 79.9  # one exchange after the other


def test_a_real_link() -> None:
    result = hide(layers=1, repeats=1)
    assert result.gradients_equal
    assert {timeline.source for timeline in result.timelines} == {"measured"}
    assert not any(timeline.note for timeline in result.timelines)


def test_progress_comes_with_how_much_there_is_to_do() -> None:
    seen = []
    hide(pace=COSTS, layers=1, repeats=1, progress=seen.append)
    assert {progress.total for progress in seen} <= {0, 2 * 4 * 2}  # ranks, passes, rounds
    assert any(progress.total for progress in seen)
    fractions = [progress.fraction for progress in seen]
    assert fractions == sorted(fractions) and fractions[-1] < 1


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="layers must be at least 1"):
        hide(layers=0)
    with pytest.raises(ValueError, match="forward lists 2 costs"):
        hide(pace=Costs(forward=[1, 2]))
    with pytest.raises(ValueError, match="costs are the pace: hide"):
        hide(Costs(8, 8, 8))
    with pytest.raises(ValueError, match="experts.B. is missing"):
        hide(["attention(F)"])
    with pytest.raises(ValueError, match="one of deepseek, megatron, or a list"):
        hide("zb-h1")
