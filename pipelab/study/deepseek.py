"""DeepSeek: the segments of a forward and a backward of DeepSeek-V3, distilled from the published profile.

`python -m pipelab.study.deepseek train.json` makes data/deepseek_v3_overlap.csv from that profile again.
"""

from __future__ import annotations

import csv
import re
import sys

import numpy as np

from ..profiler import Profile, load_profile
from ..profiler.kernels import COMMUNICATION
from ..simulator.deepseek_segments import RecordedSegment
from ..timeline import Intervals

_ANNOTATION = re.compile(r"(attn|mlp|dispatch|combine)\(([FBW])\)")
_WAIT, _TRANSFER = "notify", "a2a"  # a barrier, and the all-to-all itself; what is left prepares for them
_TRANSFERS = re.compile(r"::(dispatch|combine)<")


def distil(profile: Profile) -> list[RecordedSegment]:
    """The segments of a profile that is annotated as DeepSeek's is: attn(F), mlp(B), mlp(W), dispatch(F), and so on."""
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
                found.append(RecordedSegment(part, direction, layer, role, *times, len(chosen)))
    return sorted(found, key=lambda segment: (segment.start, segment.end))


def _part(block: str, kernel: str, role: int) -> tuple[str, str]:
    """(block, role) of a kernel."""
    if role != COMMUNICATION:
        return block, "compute"
    part = _WAIT if _WAIT in kernel else _TRANSFER if _TRANSFERS.search(kernel) else "prep"
    return f"{block}:{part}", "comm"


if __name__ == "__main__":
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(RecordedSegment._fields)
    writer.writerows(distil(load_profile(sys.argv[1])))
