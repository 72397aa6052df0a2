"""Timelines as text and as SVG: the same actions, in the same places."""

import re
from xml.etree import ElementTree

import pytest

from pipelab import Costs, Timeline, compare_schedules, simulate
from pipelab.ir import Action
from pipelab.schedules import SCHEDULES, gpipe, interleaved_1f1b, naive, one_f_one_b
from pipelab.show import figures_table, text_timeline, timeline_svg
from pipelab.show.figures import MEANING, number
from pipelab.timeline import Span


def test_text_draws_to_scale():
    lines = text_timeline(simulate(gpipe(2, 2)), width=9 + 18).splitlines()
    assert lines == [
        "gpipe, simulated: 2 ranks, 9",
        "rank 0   F0F1······B0──B1──",
        "rank 1   ··F0F1B0──B1──····",
    ]


@pytest.mark.parametrize("width", [20, 80, 200])
def test_text_is_never_wider_than_asked(width):
    for timeline in (simulate(naive(4, 8)), simulate(one_f_one_b(8, 64), Costs(1, 1.3, 0.9))):
        assert max(map(len, text_timeline(timeline, width=width).splitlines()[1:])) <= width


def test_text_in_colour_says_the_same():
    timeline = simulate(one_f_one_b(4, 8))
    coloured = text_timeline(timeline, width=100, colour=True)
    assert coloured != text_timeline(timeline, width=100)
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == text_timeline(timeline, width=100)


def test_text_says_paced():
    spans = [Span(0, "compute", Action("F", 0, 0), 0.0, 5.0)]
    timeline = Timeline.from_spans(spans, "mine", source="paced", unit="ms", note="emulated link")
    assert text_timeline(timeline).splitlines()[0] == "mine, paced, emulated link: 1 rank, 5 ms"


def rectangles(svg: str) -> list[tuple[float, float, float]]:
    """(left, top, width) of every box in the coloured paths, in the drawing's coordinates."""
    root = ElementTree.fromstring(svg)
    paths = [path for path in root.iter() if path.tag.endswith("path") and path.get("fill", "").startswith("#")]
    found = re.findall(r"M([\d.]+) ([\d.]+)h([\d.]+)", "".join(path.get("d", "") for path in paths[1:]))
    return sorted(tuple(map(float, each)) for each in found)


def test_svg_is_well_formed_and_to_scale():
    timeline = simulate(one_f_one_b(4, 8))
    svg = timeline_svg(timeline, title="a < b", description='it says "so"')
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == 'it says "so"'
    found = rectangles(svg)
    assert len(found) == len(timeline)
    lefts, widths = [left for left, _, _ in found], [width for _, _, width in found]
    scale = (960 - 58 - 20) / 33
    starts = sorted(timeline.start.tolist())
    assert sorted(lefts) == pytest.approx([58 + start * scale for start in starts], abs=0.1)
    assert sum(widths) == pytest.approx(8 * 4 * 3 * scale, rel=0.05)


def test_svg_can_leave_room_for_a_longer_timeline():
    timeline = simulate(gpipe(2, 2))
    alone, beside = (rectangles(timeline_svg(timeline, title="x", until=until)) for until in (None, 18))
    assert max(left for left, _, _ in beside) < max(left for left, _, _ in alone) / 1.5


def test_svg_hatches_backwards_that_are_too_narrow_for_a_number():
    assert "url(#pipelab-hatch)" not in timeline_svg(simulate(gpipe(2, 2)), title="x")
    assert "url(#pipelab-hatch)" in timeline_svg(simulate(gpipe(2, 200)), title="x")


@pytest.mark.parametrize(
    "timeline", [Timeline.from_spans([], "empty", 2), simulate(gpipe(1, 1), Costs(0, 0, 0)), simulate(gpipe(40, 2))]
)
def test_svg_of_odd_timelines(timeline):
    ElementTree.fromstring(timeline_svg(timeline, title="odd"))


def test_figures_have_names_with_meanings():
    table = figures_table(simulate(gpipe(4, 8), Costs(forward_comm=1)), in_shares=True)
    assert {name for name, _ in table} == set(MEANING)
    plain = dict(figures_table(simulate(gpipe(4, 8))))
    assert "exposed communication" not in plain
    assert plain["makespan"] == "33"
    assert plain["bubble fraction"] == "27.3 %"
    assert plain["bubble / ideal"] == "37.5 %"
    assert plain["peak activations"] == "8 each"
    assert dict(figures_table(simulate(one_f_one_b(3, 8))))["peak activations"] == "3 · 2 · 1"


@pytest.mark.parametrize("name", SCHEDULES)
def test_figures_count_what_the_comparison_of_schedules_does(name):
    row = compare_schedules(4, 8, schedules=[name])[name]
    table = dict(figures_table(row.timeline, in_shares=True))
    assert table["messages"] == str(row.messages)
    shares = [number(peak) for peak in row.peak_activations]
    assert table["peak in shares of a rank"] == (f"{shares[0]} each" if len(set(shares)) == 1 else " · ".join(shares))


def test_explorers_table_has_shares_of_a_rank_where_stages_are_of_different_lengths():
    timelines = {"1f1b": simulate(one_f_one_b(4, 8)), "interleaved": simulate(interleaved_1f1b(4, 8))}
    table = figures_table(timelines)._repr_html_()
    assert "peak in shares of a rank" in table
    assert ">4 · 3 · 2 · 1</td>" in table
    assert ">5.5 · 4.5 · 3.5 · 2.5</td>" in table
    assert "shares" not in figures_table({"1f1b": timelines["1f1b"]})._repr_html_()


@pytest.mark.parametrize(
    ("value", "text"), [(33, "33"), (22.799999, "22.8"), (1331.26, "1331"), (0, "0"), (1 / 3, "0.3333")]
)
def test_number(value, text):
    assert number(value) == text


def test_figures_leave_out_what_rounding_leaves_of_nothing():
    timeline = simulate(one_f_one_b(8, 20), Costs(0.78, 0.99, 0.3))
    assert not any(value.endswith("e-14") or "e-" in value for _, value in figures_table(timeline))
    assert 0 < sum(steady for _, steady, _ in timeline.idle_by_phase) < 1e-9  # there is some
