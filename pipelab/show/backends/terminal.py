"""Text: a timeline for the terminal, one line per rank."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import numpy as np

from ...amounts import at_least, counted
from ...ir.codes import KINDS
from ...timeline import Timeline
from ..figures import number, origin
from ..palette import LABEL, STYLES, tinted
from ..scene.timeline_scene import Tints, parts_of

_IDLE, _FILL, _MARGIN = "·", "─", 9


def text_timeline(timeline: Timeline, *, width: int = 100, colour: bool = False) -> str:
    """A timeline as text: ``F3`` is a forward of micro-batch 3, ``·`` is idle time.

    Parameters
    ----------
    timeline : Timeline
        What is written.
    width : int
        The most columns that a line may take.
    colour : bool
        With ANSI colours, for a terminal.

    Examples
    --------
    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> print(text_timeline(simulate(gpipe(2, 2)), width=36))
    gpipe, simulated: 2 ranks, 9
    rank 0   F0 F1 ·········B0────B1────
    rank 1   ···F0 F1 B0────B1────······
    """
    scale = max(10, at_least(1, width, "width") - _MARGIN) / float(timeline.makespan or 1)
    if scale >= 1:
        scale = float(min(int(scale), 12))  # whole columns per unit, so that equal actions look equal
    blank = [(_IDLE, "")] * round(scale * float(timeline.makespan))  # columns: (character, colour)
    rows = [[*blank] for _ in range(timeline.num_ranks)]
    for rank, names, ground, first, last in _blocks(timeline, scale):
        text = _filled(names, last - first)
        rows[rank][first : first + len(text)] = [(character, ground) for character in text]
    sizes = f"{counted(timeline.num_ranks, 'rank')}, {number(timeline.makespan, timeline.unit)}"
    lines = [f"{timeline.name}, {origin(timeline)}: {sizes}"]
    for rank, row in enumerate(rows):
        line = f"rank {rank:<4}"
        for ground, columns in groupby(row, lambda column: column[1]):
            text = "".join(character for character, _ in columns)
            line += _painted(ground, text) if colour else text
        lines.append(line)
    return "\n".join(lines)


def _blocks(timeline: Timeline, scale: float) -> Iterator[tuple[int, list[str], str, int, int]]:
    """Of every action that fills a column: its rank, its name or those of a pair, its colour, and its columns."""
    first, last = (
        np.rint((times - timeline.begin).astype(float) * scale).astype(int) for times in (timeline.start, timeline.end)
    )
    (every, spans), filled = parts_of(timeline), (last > first) & timeline.computing
    tints, shown = Tints(timeline.rank[spans], every), filled[spans]
    parts, spans = every.where(shown), spans[shown]
    rank = timeline.rank[spans]
    shade = tints.shade(rank, parts)
    kinds = [KINDS[kind] for kind in parts.kind]
    names = [*map("{}{}".format, kinds, parts.microbatch)]
    for part in np.flatnonzero(~parts.first).tolist():  # an action, or the latter half of a pair
        ground, span = tinted(STYLES[kinds[part]].colour, tints.shades[shade[part]]), spans[part]
        yield rank[part], names[part - parts.second[part] : part + 1], ground, first[span], last[span]


def _filled(names: list[str], width: int) -> str:
    """What fills an action's columns: its name if there is room, else as much of it as there is room for."""
    for name in ("".join(names), names[0]):
        if len(name) <= width:
            last = " " if width >= 3 and len(name) < width and width - len(name) == 1 else _FILL
            return name.ljust(width, last)
    return names[0][0] * width


def _painted(ground: str, text: str) -> str:
    """Dark text on an action's colour, with ANSI codes."""
    return f"\x1b[48;2;{_rgb(ground)};38;2;{_rgb(LABEL)}m{text}\x1b[0m" if ground else text


def _rgb(colour: str) -> str:
    return ";".join(str(int(colour[i : i + 2], 16)) for i in (1, 3, 5))
