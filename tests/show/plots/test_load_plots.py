"""Loads: a box per expert with its load over the mean, and what does not fit is refused."""

import numpy as np
import pytest

from pipelab.eplb import recorded_loads
from pipelab.show import plot_loads

LOAD = np.array([[2.0, 1.0, 1.0, 0.0], [5.0, 5.0, 5.0, 5.0]])


def test_each_box_has_its_load_over_the_mean():
    (axes,) = plot_loads({"mine": LOAD}).panels
    found = {tuple(map(int, text.get_position())): text.get_text() for text in axes.texts}
    assert [found[expert, 0] for expert in range(4)] == ["2.0", "1.0", "1.0", "0.0"]
    assert {found[expert, 1] for expert in range(4)} == {"1.0"}
    assert axes.get_title("left") == "mine · busiest / mean: 2.0  1.0"


def test_colour_rises_with_the_load():
    (axes,) = plot_loads({"mine": LOAD}).panels
    (shown,) = axes.images
    colours = np.asarray(shown.get_array())
    assert colours[0, 0] > colours[0, 1] == colours[1, 0] == 0 > colours[0, 3]


def test_a_panel_for_each():
    domains = recorded_loads("bias").domains
    picture = plot_loads(domains)
    assert [axes.get_title("left").split(" · ")[0] for axes in picture.panels] == list(domains)
    assert len({round(axes.get_position().height, 6) for axes in picture.panels}) == 1
    assert picture.png().startswith(b"\x89PNG")


def test_narrow_boxes_have_no_numbers():
    (axes,) = plot_loads({"wide": np.ones((1, 256))}).panels
    assert len(axes.texts) == 0


def test_a_layer_without_load_is_even():
    (axes,) = plot_loads({"none": np.zeros((1, 4))}).panels
    assert {text.get_text() for text in axes.texts} == {"1.0"}


@pytest.mark.parametrize(
    ("loads", "said"),
    [
        ({}, "one or more"),
        ({"a": np.ones((2, 4)), "b": np.ones((2, 8))}, r"'a': \(2, 4\), 'b': \(2, 8\)"),
        ({"a": np.ones((0, 4))}, r"'a': \(0, 4\)"),
        ({"a": -np.ones((2, 4))}, "a must be finite and not negative"),
        (np.ones((2, 4)), "by name, .*got ndarray"),
    ],
)
def test_refuses(loads, said):
    with pytest.raises(ValueError, match=said):
        plot_loads(loads)
