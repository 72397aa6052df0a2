"""Shapes: what a scene consists of, in units of a hundredth of an inch; y counts downwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ..palette import LABEL

WIDTH = 960  # usually; a page scales it
PAGE = "page"  # the colour of the page's own text, light or dark


class Box(NamedTuple):
    """A rectangle. fill and frame: colours, "" for none; hint: what pointing at it says."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    hatched: bool = False
    frame: str = ""
    opacity: float = 1.0
    hint: str = ""


class Text(NamedTuple):
    """Text that stands on y; anchor: which end of it is at x: start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    size: float = 11
    colour: str = PAGE
    bold: bool = False


class Line(NamedTuple):
    """A horizontal or vertical line; dash: lengths of strokes and gaps, such as "4 3"."""

    x0: float
    y0: float
    x1: float
    y1: float
    colour: str = PAGE
    dash: str = ""
    width: float = 1.0


@dataclass
class Scene:
    """Boxes, lines upon them and texts upon both."""

    height: float = 0
    width: float = WIDTH
    boxes: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


def label(box: Box, text: str, size: float = 11) -> list[Text]:
    """Text in the middle of a box, or nothing where it has no room."""
    size = min(size, box.height * 0.9, box.width / (0.62 * len(text) or 1))
    if size < 7:
        return []
    return [Text(box.x + box.width / 2, box.y + box.height / 2 + 0.36 * size, text, "middle", size, LABEL)]
