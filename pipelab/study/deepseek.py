"""DeepSeek: what a forward and a backward of four layers of DeepSeek-V3 cost, from the profile that DeepSeek published.

`python -m pipelab.study.deepseek train.json` makes data/deepseek_v3_overlap.csv from that profile again.
"""

from __future__ import annotations

import csv
import re
import sys
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..profiler import Profile, load_profile
from ..profiler.kernels import COMMUNICATION
from ..simulator.costs import Costs
from ..timeline import Intervals

FILE = "deepseek_v3_overlap.csv"
_ANNOTATION = re.compile(r"(attn|mlp|dispatch|combine)\(([FBW])\)")
_WAIT, _TRANSFER = "notify", "a2a"  # a barrier, and the all-to-all itself; what is left prepares for them
_TRANSFERS = re.compile(r"::(dispatch|combine)<")


class Phase(NamedTuple):
    """One phase of one layer: kernels of one kind that follow each other. Times in µs since the first kernel's start.

    block       attn, mlp; of communication dispatch or combine with :prep, :notify (waiting for other ranks) or :a2a
    direction   F, B (backward for the input) or W
    layer       0 to 3; the backward goes through them in reverse
    role        compute or comm
    busy        the kernels' summed durations
    union       time in which at least one of them runs: less than busy where two streams compute at once
    kernels     how many
    """

    block: str
    direction: str
    layer: int
    role: str
    start: int
    end: int
    busy: int
    union: int
    kernels: int


def phases() -> list[Phase]:
    """DeepSeek's overlapped pair of chunks, phase by phase, by start: data/deepseek_v3_overlap.csv.

    >>> print(*(phase.block + phase.direction for phase in phases() if phase.layer == 3 and phase.role == "compute"))
    mlpB mlpW attnB attnW attnF mlpF
    """
    inside = files("pipelab") / "data" / FILE  # a link to the folder beside pipelab, where the system has links
    file = inside if inside.is_file() else Path(__file__).parents[2] / "data" / FILE
    _, *rows = csv.reader(file.read_text().splitlines())
    return [Phase(*(int(value) if value.isdecimal() else value for value in row)) for row in rows]  # type: ignore


def recorded_costs() -> Costs:
    """In ms: what the phases of F, I and W take by themselves, without waits, and the pair as it was measured."""
    found = phases()

    def of(direction: str, role: str) -> float:
        chosen = [p for p in found if (p.direction, p.role) == (direction, role) and not p.block.endswith(_WAIT)]
        return sum(phase.union for phase in chosen) / 1000

    return Costs(
        forward=of("F", "compute"),
        forward_comm=of("F", "comm"),
        backward_input=of("B", "compute"),
        backward_input_comm=of("B", "comm"),
        backward_weight=of("W", "compute"),
        overlapped=(max(phase.end for phase in found) - min(phase.start for phase in found)) / 1000,
        unit="ms",
    )


def distil(profile: Profile) -> list[Phase]:
    """The phases of a profile that is annotated as DeepSeek's is: attn(F), mlp(B), mlp(W), dispatch(F), and so on."""
    kernels, found = profile.kernels, []
    numbers: dict[str, list[int]] = {}  # of the occurrences of each annotation, in their order
    for number, name in sorted({*zip(kernels.occurrence.tolist(), kernels.annotation.tolist(), strict=True)}):
        if number >= 0 and _ANNOTATION.fullmatch(kernels.names[name]):
            numbers.setdefault(kernels.names[name], []).append(number)
    for annotation, occurrences in numbers.items():
        block, direction = _ANNOTATION.fullmatch(annotation).groups()  # type: ignore[union-attr]
        for step, number in enumerate(occurrences):
            layer = step if direction == "F" else len(occurrences) - 1 - step
            groups: dict[tuple[str, str], list[int]] = {}
            for i in np.flatnonzero(kernels.occurrence == number).tolist():
                groups.setdefault(_part(block, kernels.names[kernels.name[i]], int(kernels.role[i])), []).append(i)
            for (part, role), chosen in groups.items():
                start, end = kernels.start[chosen] // 1000, kernels.end[chosen] // 1000
                times = int(start.min()), int(end.max()), int((end - start).sum()), Intervals(start, end).total
                found.append(Phase(part, direction, layer, role, *times, len(chosen)))
    return sorted(found, key=lambda phase: (phase.start, phase.end))


def _part(block: str, kernel: str, role: int) -> tuple[str, str]:
    """(block, role) of a kernel."""
    if role != COMMUNICATION:
        return block, "compute"
    part = _WAIT if _WAIT in kernel else _TRANSFER if _TRANSFERS.search(kernel) else "prep"
    return f"{block}:{part}", "comm"


if __name__ == "__main__":
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(Phase._fields)
    writer.writerows(distil(load_profile(sys.argv[1])))
