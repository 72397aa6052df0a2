"""Text: a timeline for the terminal, one line per rank."""

from __future__ import annotations

from ...ir import Action, counted
from ...timeline import Timeline
from ..figures import number
from ..palette import LABEL
from ..scene.timeline_scene import boxes

_IDLE, _FILL, _MARGIN = "·", "─", 9


def text_timeline(timeline: Timeline, width: int = 100, colour: bool = False) -> str:
    """A timeline as text, at most `width` columns wide: ``F3`` is a forward of micro-batch 3, ``·`` is idle time.

    colour: with ANSI colours, for a terminal.

    >>> from pipelab import gpipe, simulate
    >>> print(text_timeline(simulate(gpipe(2, 2)), width=36))
    gpipe, simulated: 2 ranks, 9
    rank 0   F0 F1 ·········B0────B1────
    rank 1   ···F0 F1 B0────B1────······
    """
    columns = max(10, width - _MARGIN)
    scale = columns / float(timeline.makespan or 1)
    if scale >= 1:
        scale = float(min(int(scale), 12))  # whole columns per unit, so that equal actions look equal
    rows = [[_IDLE] * round(scale * float(timeline.makespan)) for _ in range(timeline.num_ranks)]
    paint: list[list[str]] = [[""] * len(row) for row in rows]
    drawn = boxes(timeline)
    tints = dict(enumerate(drawn.colours))
    colour_of = {
        (int(rank), float(left)): tints[int(style)]
        for rank, left, style in zip(drawn.rank, drawn.left, drawn.style, strict=True)
    }
    for rank, stream, action, start, end in timeline.spans:
        if stream == "comm":
            continue
        left = float(start - timeline.begin)
        first, last = round(left * scale), round(float(end - timeline.begin) * scale)
        text = _block(action, last - first)
        rows[rank][first : first + len(text)] = text
        paint[rank][first : first + len(text)] = [colour_of[rank, left]] * len(text)
    unit = f" {timeline.unit}" if timeline.unit else ""
    note = f", {timeline.note}" if timeline.note else ""
    ranks = counted(timeline.num_ranks, "rank")
    lines = [f"{timeline.name}, {timeline.source}{note}: {ranks}, {number(timeline.makespan)}{unit}"]
    for rank, row in enumerate(rows):
        body = _coloured(row, paint[rank]) if colour else "".join(row)
        lines.append(f"rank {rank:<4}" + body)
    return "\n".join(lines)


def _block(action: Action, width: int) -> str:
    """What fills an action's columns: its name if there is room, else as much of it as there is room for."""
    if width <= 0:
        return ""
    names = [f"{part.kind}{part.microbatch}" for part in action.computes]
    for name in ("".join(names), names[0]):
        if len(name) <= width:
            last = " " if width >= 3 and len(name) < width and width - len(name) == 1 else _FILL
            return name.ljust(width, last)
    return action.computes[0].kind * width


def _coloured(row: list[str], colours: list[str]) -> str:
    """The row with ANSI codes for a dark text on each action's colour."""
    text, now = "", ""
    for character, colour in zip(row, colours, strict=True):
        if colour != now:
            text += f"\x1b[48;2;{_rgb(colour)};38;2;{_rgb(LABEL)}m" if colour else "\x1b[0m"
            now = colour
        text += character
    return text + ("\x1b[0m" if now else "")


def _rgb(colour: str) -> str:
    return ";".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
