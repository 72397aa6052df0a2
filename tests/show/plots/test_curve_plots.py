"""Curves: a picture of a sweep holds the sweep's own numbers."""

import numpy as np
import pytest

from pipelab.show import plot_curves

SQUARES = {1: 1.0, 4: 16.0, 2: 4.0}  # not in order: a sweep may be run in any


def test_draws_every_curve_in_order_of_x():
    picture = plot_curves({"theory": SQUARES, "measured": {2: 4.2}}, x="ranks", y="seconds", points=["measured"])
    (axes,) = picture.panels
    theory, measured = axes.lines
    assert theory.get_xydata().tolist() == [[1, 1], [2, 4], [4, 16]]
    assert measured.get_xydata().tolist() == [[2, 4.2]]
    assert (theory.get_linestyle(), measured.get_linestyle()) == ("-", "None")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["theory", "measured"]
    assert (axes.get_xlabel(), axes.get_title("left")) == ("ranks", "seconds")
    assert axes.get_ylim()[0] == 0
    assert picture.png().startswith(b"\x89PNG")


def test_curves_differ_without_their_colours():
    axes = plot_curves(dict.fromkeys("abcde", SQUARES), x="", y="").panels[0]
    assert len({(line.get_marker(), str(line._dash_pattern)) for line in axes.lines}) == 5


def test_a_sweep_that_doubles_has_even_steps():
    axes = plot_curves({"m": {m: m for m in (1, 2, 4, 8)}}, x="", y="", log2=True).panels[0]
    places = axes.transData.transform(axes.lines[0].get_xydata())[:, 0]
    assert np.allclose(np.diff(places), places[1] - places[0])
    assert axes.get_xticks().tolist() == [1, 2, 4, 8]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "4", "8"]
    with pytest.raises(ValueError, match="log2 needs x above 0; got 0"):
        plot_curves({"m": {0: 1, 2: 3}}, x="", y="", log2=True)


def test_many_values_need_no_marks():
    axes = plot_curves({"line": {i: i for i in range(100)}, "points": {i: 2 * i for i in range(100)}}, x="", y="",
                       points=["points"]).panels[0]  # fmt: skip
    assert axes.lines[0].get_marker() in (None, "None")
    assert axes.lines[1].get_marker() not in (None, "None")


@pytest.mark.parametrize(
    ("curves", "points", "said"),
    [
        ({}, (), "draws 1 to 5 curves"),
        ({"a": SQUARES, "b": {}}, (), r"none of them empty; got \{'a': 3, 'b': 0\}"),
        (dict.fromkeys("abcdef", SQUARES), (), "draws 1 to 5 curves"),
        ({"a": SQUARES}, ["b"], "points names 'b'; the curves are a"),
    ],
)
def test_what_can_not_be_drawn(curves, points, said):
    with pytest.raises(ValueError, match=said):
        plot_curves(curves, x="", y="", points=points)
