"""Drawing: boxes, lines and texts that become an SVG element for the page, or a picture for where no kernel is."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import NamedTuple

from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from .palette import INK, LABEL
from .picture import Picture
from .svg import WIDTH

PAGE = "page"  # the colour of the page's own text, light or dark
_PAGE_SVG = "var(--jp-content-font-color1, currentColor)"
_POINTS = 0.72  # of a unit: a hundredth of an inch
_HATCH = (
    '<defs><pattern id="pipelab-copies" width="5" height="5" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="1.3" height="5" fill="#fff" fill-opacity="0.75"/></pattern></defs>'
)


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
class Drawing:
    """In its own units, as wide as every picture of the widgets; y counts downwards."""

    height: float = 0
    boxes: list[Box] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def svg(self, description: str) -> str:
        """An SVG element. description: what a screen reader says of it."""
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {self.height:g}" role="img" aria-label="{escape(description)}" '
            'style="width:100%;max-width:1200px;display:block" font-family="var(--jp-ui-font-family, sans-serif)">',
            _HATCH,
            *map(_box_svg, self.boxes),
            *map(_line_svg, self.lines),
            *map(_text_svg, self.texts),
            "</svg>",
        ]
        return "".join(parts)

    def picture(self) -> Picture:
        """The same with matplotlib."""
        picture = Picture(WIDTH / 100, [self.height / 100])
        picture.set_size_inches(WIDTH / 100, self.height / 100)
        (axes,) = picture.panels
        axes.set_position((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(0, WIDTH)
        axes.set_ylim(self.height, 0)
        for box in self.boxes:
            alpha = box.opacity if box.opacity < 1 else None  # 1 would undo a colour's own
            drawn = Rectangle((box.x, box.y), box.width, box.height, alpha=alpha, linewidth=1.6)
            drawn.set(facecolor=box.fill or "none", edgecolor=box.frame or "none")
            axes.add_patch(drawn)
            if box.hatched:
                stripes = Rectangle((box.x, box.y), box.width, box.height, alpha=alpha, linewidth=0)
                stripes.set(facecolor="none", edgecolor="white", hatch="////")
                axes.add_patch(stripes)
        for line in self.lines:
            drawn_line = Line2D((line.x0, line.x1), (line.y0, line.y1), linewidth=line.width)
            drawn_line.set_color(INK if line.colour == PAGE else line.colour)
            if line.dash:
                drawn_line.set_dashes([float(length) for length in line.dash.split()])
            axes.add_line(drawn_line)
        sides = {"start": "left", "middle": "center", "end": "right"}
        for x, y, text, anchor, size, colour, bold in self.texts:
            axes.text(
                x,
                y,
                text,
                ha=sides[anchor],
                va="baseline",
                fontsize=size * _POINTS,
                color=INK if colour == PAGE else colour,
                fontweight="bold" if bold else "normal",
            )
        return picture


def label(box: Box, text: str, size: float = 11) -> Text | None:
    """Text in the middle of a box, or None where it has no room."""
    size = min(size, box.height * 0.9, box.width / (0.62 * len(text) or 1))
    if size < 7:
        return None
    return Text(box.x + box.width / 2, box.y + box.height / 2 + 0.36 * size, text, "middle", size, LABEL)


def _box_svg(box: Box) -> str:
    place = f'x="{box.x:.1f}" y="{box.y:.1f}" width="{max(0.0, box.width):.1f}" height="{max(0.0, box.height):.1f}"'
    frame = f' stroke="{box.frame}" stroke-width="2"' if box.frame else ""
    faint = f' opacity="{box.opacity:g}"' if box.opacity < 1 else ""
    hint = f"<title>{escape(box.hint)}</title>" if box.hint else ""
    found = f'<rect {place} fill="{box.fill or "none"}"{frame}{faint}>{hint}</rect>'
    return found + (f'<rect {place} fill="url(#pipelab-copies)" pointer-events="none"{faint}/>' if box.hatched else "")


def _line_svg(line: Line) -> str:
    dash = f' stroke-dasharray="{line.dash}"' if line.dash else ""
    colour = _PAGE_SVG if line.colour == PAGE else line.colour
    return (
        f'<path d="M{line.x0:.1f} {line.y0:.1f}L{line.x1:.1f} {line.y1:.1f}" stroke="{colour}" '
        f'stroke-width="{line.width:g}"{dash}/>'
    )


def _text_svg(text: Text) -> str:
    colour = _PAGE_SVG if text.colour == PAGE else text.colour
    bold = ' font-weight="bold"' if text.bold else ""
    return (
        f'<text x="{text.x:.1f}" y="{text.y:.1f}" text-anchor="{text.anchor}" font-size="{text.size:.3g}" '
        f'fill="{colour}"{bold} pointer-events="none">{escape(text.text)}</text>'
    )
