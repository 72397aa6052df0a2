"""A picture of phases: two streams, and below them what nothing hides."""

import pytest
from matplotlib.collections import PolyCollection

from pipelab.show import plot_segments

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


@pytest.mark.parametrize("nothing", [{}, {"a": []}])
def test_nothing_is_refused(nothing):
    with pytest.raises(ValueError, match="nothing to draw"):
        plot_segments(nothing)
