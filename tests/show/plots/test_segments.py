"""A picture of phases: two streams, and below them what nothing hides."""

import pytest
from matplotlib.collections import PolyCollection

from pipelab import Costs
from pipelab.show import plot_segments
from pipelab.simulator import place_segments

PHASES = [
    ("compute", "attention", "F", 0, 2),
    ("comm", "dispatch", "F", 2, 5),
    ("compute", "experts", "W", 4, 7),
]


def boxes(axes):
    drawn = [path.vertices for c in axes.collections if isinstance(c, PolyCollection) for path in c.get_paths()]
    return sorted((round(v[:, 0].min(), 6), round(v[:, 0].max(), 6)) for v in drawn)


def test_boxes_are_the_phases_and_what_is_exposed():
    (axes,) = plot_segments({"mine": PHASES}).panels
    assert boxes(axes) == [(0, 2), (2, 4), (2, 5), (4, 7)]
    assert "mine · 7 ms · communication 3 ms, 33 % hidden" in axes.get_title("left")


def test_panels_share_their_time():
    first, second = plot_segments({"a": PHASES[:1], "b": PHASES}, unit="").panels
    assert first.get_xlim() == second.get_xlim() == (0, 7)


def placed(**unit):
    return place_segments("deepseek", Costs(8, 8, 8, forward_comm=12, backward_input_comm=12, **unit))


@pytest.mark.parametrize(
    ("panels", "unit", "label", "end"),
    [
        ({"": placed(unit="s")}, None, "time, s", 24.5),
        ({"": placed()}, None, "time", 24.5),
        ({"": placed()}, "ms", "time, ms", 24.5),
        ({"": placed(unit="s")}, "ms", "time, ms", 24500),
        ({"": placed(unit="µs")}, "us", "time, us", 24.5),
        ({"a": placed(unit="us"), "b": PHASES}, None, "time, ms", 7),
        ({"a": PHASES, "b": placed(unit="us")}, None, "time, us", 7000),
        ({"a": PHASES, "b": placed(unit="us")}, "s", "time, s", 7),
        ({"a": placed(unit="days"), "b": placed(unit="days")}, None, "time, days", 24.5),
    ],
)
def test_the_time_axis_has_the_segments_unit(panels, unit, label, end):
    picture = plot_segments(panels, unit=unit)
    assert picture.panels[-1].get_xlabel() == label
    assert picture.panels[-1].get_xlim() == (0, pytest.approx(end))


@pytest.mark.parametrize("unit", ["", "days"])
def test_what_does_not_compare_is_refused(unit):
    with pytest.raises(ValueError, match=f"one time axis can't show {unit or 'abstract units'} and ms"):
        plot_segments({"a": placed(unit=unit), "b": PHASES})


@pytest.mark.parametrize("nothing", [{}, {"a": []}])
def test_nothing_is_refused(nothing):
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_segments(nothing)
