"""Palette: one colour for each kind of action in every picture, safe for colour-blind readers, and never alone.

Colours differ in lightness too. Where an action is wide enough it has its micro-batch's number; where not, backwards
are hatched.
"""

from __future__ import annotations

from typing import NamedTuple

from ..ir.action import BACKWARD, BACKWARD_INPUT, BACKWARD_WEIGHT, FORWARD
from ..timeline import COMM

EXPOSED, OTHER = "exposed", "other"  # communication that nothing hides; work that is neither a forward nor a backward


class Style(NamedTuple):
    """How one kind of action is drawn, and its name in a legend, "" for none."""

    colour: str
    hatched: bool
    name: str


STYLES = {
    FORWARD: Style("#8CC4EC", False, "F  forward"),
    BACKWARD: Style("#E8884A", True, "B  backward"),
    BACKWARD_INPUT: Style("#F3BE55", True, "I  backward for the input"),
    BACKWARD_WEIGHT: Style("#4FAE8A", True, "W  backward for the weights"),
    COMM: Style("#8A93A3", False, "communication"),
    EXPOSED: Style("#D1495B", False, "communication that nothing hides"),
    OTHER: Style("#B9BEC7", False, ""),
}
OVERLAP = "#7B4FA3"  # the frame around an overlapped pair
LABEL = "#10202E"  # on all of the colours above
INK = "#787878"  # text and axes of saved pictures: readable on a white page and on a black one
TRACK = "#9AA0A630"  # an idle rank: the row's bare track

CHUNK_TINT = 0.55  # how far the last of a rank's chunks is on its way to white


LOADS = (STYLES[FORWARD].colour, "#F2F2F2", STYLES[BACKWARD].colour)  # below, at and above the mean


def load_colour(value: float) -> str:
    """The colour of a load, from -1, far below the mean, to 1, far above it."""
    return mixed(LOADS[1], LOADS[2 if value > 0 else 0], abs(value))


def tinted(colour: str, amount: float) -> str:
    """The colour mixed with that much white.

    >>> tinted("#000000", 0.5)
    '#808080'
    """
    return mixed(colour, "#FFFFFF", amount)


def mixed(colour: str, other: str, amount: float) -> str:
    """The colour mixed with that much of another."""
    pairs = zip(*([int(each[i : i + 2], 16) for i in (1, 3, 5)] for each in (colour, other)), strict=True)
    return "#" + "".join(f"{round(one + (two - one) * amount):02X}" for one, two in pairs)
