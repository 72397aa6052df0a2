"""Drawing a timeline of a thousand actions, and of 65,536 and more: how long, from it to what a reader sees?

The matplotlib pictures are timed to their PNG file; the naive way, a patch and a text per action, beside them in the
same run. SVG is timed to the text that a browser is sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

from _table import Row, arguments, show
from matplotlib.patches import Rectangle

from pipelab import Timeline, build, compare, plot, simulate
from pipelab.show import plot_memory, text_timeline
from pipelab.show.backends.picture import Picture
from pipelab.show.backends.svg import timeline_svg
from pipelab.show.explore.hover import hover_svg
from pipelab.show.palette import STYLES

SMALL, LARGE = (16, 31), (64, 512)  # ranks and micro-batches: of 1F1B 992 actions and 65,536
LIMIT_MS = {("plot", "1f1b", SMALL): 90, ("plot", "1f1b", LARGE): 1000}
Draw = Callable[[Timeline], object]


def naive_plot(timeline: Timeline) -> Picture:
    """What matplotlib's gallery would do."""
    picture = Picture(9.6, [3.2])
    (axes,) = picture.panels
    for rank, _, action, start, end in timeline.spans:
        axes.add_patch(Rectangle((start, rank - 0.4), end - start, 0.8, facecolor=STYLES[action.kind].colour))
        axes.text((start + end) / 2, rank, str(action.microbatch), ha="center", va="center", fontsize=7)
    axes.set(xlim=(0, timeline.makespan), ylim=(timeline.num_ranks, -1))
    return picture


def measure(name: str, draw: Draw, schedule: str, size: tuple[int, int], repeats: int) -> Row:
    """One line of the table; what was drawn once before has warmed up fonts and caches."""
    draw(simulate(build(schedule, *SMALL)))
    taken = []
    for _ in range(repeats):
        timeline = simulate(build(schedule, *size))  # a new one: nothing is remembered
        began = time.perf_counter()
        draw(timeline)
        taken.append(1000 * (time.perf_counter() - began))
    return {
        "drawn": name,
        "schedule": schedule,
        "actions": len(timeline),
        "median ms": median(taken),
        "shortest ms": min(taken),
        "limit ms": LIMIT_MS.get((name, schedule, size), "-"),
    }


def main() -> None:
    options = arguments(__doc__, repeats=9)
    ways: dict[str, Draw] = {
        "plot": lambda timeline: plot(timeline).png(),
        "compare, twice as many": lambda timeline: compare(timeline, timeline).png(),
        "plot_memory": lambda timeline: plot_memory(timeline).png(),
        "svg": lambda timeline: timeline_svg(timeline, title=timeline.name),
        "text": text_timeline,
    }
    small: dict[str, Draw] = {
        "a patch and a text each": lambda timeline: naive_plot(timeline).png(),
        "what hovering shows": hover_svg,
    }
    rows = [measure(name, draw, "1f1b", SMALL, options.repeats) for name, draw in {**ways, **small}.items()]
    for schedule in ("1f1b", "zb-v"):
        rows += [measure(name, draw, schedule, LARGE, max(1, options.repeats // 3)) for name, draw in ways.items()]
    show(options, rows, f"medians of {options.repeats}, of large ones a third as many")


if __name__ == "__main__":
    main()
