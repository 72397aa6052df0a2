"""How time and memory grow with a schedule, from a thousand actions to a million.

1F1B is built, simulated, read off for all figures and checked, each size in a process of its own, whose largest memory
is what the operating system says: of it, about 35 MiB are Python and numpy. `--draw docs/growth.png` draws the picture
in docs/performance.md; with --before, what it was is drawn, too.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from _table import Row, beside, parser, show
from simulator import once

SIZES = [(16, 32), (24, 64), (32, 160), (64, 256), (64, 800), (128, 1280), (256, 2048)]
LIMIT_S, LIMIT_MIB = "2.5", "300"  # of the largest


def alone(ranks: int, microbatches: int) -> dict[str, Any]:
    """In a process that does nothing else."""
    took = once("1f1b", ranks, microbatches)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {**took, "MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit}


def measure(ranks: int, microbatches: int, repeats: int) -> Row:
    """One line of the table."""
    command = [sys.executable, __file__, "--size", str(ranks), str(microbatches)]
    found = [json.loads(subprocess.check_output(command, text=True)) for _ in range(repeats)]
    took = {key: median(each[key] for each in found) for key in found[0]}
    last = (ranks, microbatches) == SIZES[-1]
    return {
        "ranks": ranks,
        "micro-batches": microbatches,
        "actions": int(took["actions"]),
        "all of it s": (took["build"] + took["simulate"] + took["figures"]) / 1000,
        "limit s": LIMIT_S if last else "",
        "build s": took["build"] / 1000,
        "simulate s": took["simulate"] / 1000,
        "figures s": took["figures"] / 1000,
        "check s": took["check"] / 1000,
        "memory MiB": took["MiB"],
        "limit MiB": LIMIT_MIB if last else "",
    }


def draw(rows: Sequence[Row], path: Path) -> None:
    """Seconds and MiB over the number of actions."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    time, memory = figure.subplots(1, 2)
    actions = [row["actions"] for row in rows]
    for axes, unit, names in ((time, "s", ("build", "simulate", "figures", "check")), (memory, "MiB", ("memory",))):
        for name, marker in zip(names, "os^D", strict=False):
            (line,) = axes.loglog(actions, [row[f"{name} {unit}"] for row in rows], marker=marker, label=name)
            if f"{name} {unit} before" in rows[0]:
                before = [row[f"{name} {unit} before"] for row in rows]
                axes.loglog(
                    actions, before, marker=marker, ls=":", alpha=0.6, color=line.get_color(), label=f"{name}, before"
                )
        axes.set(xlabel="actions of 1F1B", title={"s": "seconds", "MiB": "largest memory of the process, MiB"}[unit])
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=110)


def main() -> None:
    command = parser(__doc__, repeats=3)
    command.add_argument("--size", type=int, nargs=2, help="measure this one, in this process")
    command.add_argument("--draw", type=Path, metavar="FILE", help="draw it, too")
    options = command.parse_args()
    if options.size:
        print(json.dumps(alone(*options.size)))
        return
    rows = [measure(*size, options.repeats) for size in SIZES]
    show(options, rows, f"1F1B; medians of {options.repeats} processes of its own each")
    if options.draw and not options.json:
        draw(beside(options, rows)[0], options.draw)


if __name__ == "__main__":
    main()
