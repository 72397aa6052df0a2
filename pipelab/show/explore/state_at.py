"""State at a time: what every rank does then, in words: for those who can't see the picture, or want it exactly."""

from __future__ import annotations

from html import escape

from ...amounts import counted
from ...timeline import Timeline
from ..figures import number


def state_at(timeline: Timeline, time: float) -> list[str]:
    """One sentence per rank: what it does at this time (counted from the timeline's begin), or why it is idle.

    >>> from pipelab import simulate
    >>> from pipelab.schedules import gpipe
    >>> state_at(simulate(gpipe(2, 1)), 0.5)
    ['rank 0 does 0F0 and holds 1 activation', 'rank 1 waits for 0F0 from rank 0 and holds 0 activations']
    """
    now = timeline.begin + time
    doing = [f"rank {rank} has done all its work" for rank in range(timeline.num_ranks)]
    for gap in timeline.gaps():
        if gap.start <= now < gap.end:
            doing[gap.rank] = gap.reason
    for (rank, action), (start, end) in timeline.dependencies.extents.items():
        if start <= now < end and action.computes:
            doing[rank] = f"rank {rank} does {action}"
    held = []
    for rank in range(timeline.num_ranks):
        times, counts = timeline.activations_over_time(rank)
        count = next((int(c) for t, c in zip(times[::-1], counts[::-1], strict=True) if t <= now), 0)
        held.append(f" and holds {counted(count, 'activation')}")
    return [text + also for text, also in zip(doing, held, strict=True)]


def state_html(timeline: Timeline, time: float) -> str:
    """The same for a widget; a screen reader reads it when it changes."""
    lines = "".join(f"<li>{escape(line)}</li>" for line in state_at(timeline, time))
    return (
        f'<div role="status" aria-live="polite" style="font-size:12px;line-height:1.5">{escape(timeline.name)} at '
        f'{number(time, timeline.unit)}:<ul style="margin:0;padding-left:20px">{lines}</ul></div>'
    )
