"""Hand-ins for tests: good ones, and folders to put others in."""

from __future__ import annotations

import textwrap
from pathlib import Path

GPIPE_AND_1F1B = """
    def my_gpipe(ranks, microbatches):
        every = range(microbatches)
        return [[f"{rank}F{m}" for m in every] + [f"{rank}B{m}" for m in every] for rank in range(ranks)]

    def my_1f1b(ranks, microbatches):
        programs = []
        for rank in range(ranks):
            F = [f"{rank}F{m}" for m in range(microbatches)]
            B = [f"{rank}B{m}" for m in range(microbatches)]
            warmup = min(ranks - 1 - rank, microbatches)
            steady = [action for pair in zip(F[warmup:], B) for action in pair]
            programs.append(F[:warmup] + steady + B[microbatches - warmup :])
        return programs
"""

ZERO_BUBBLE = """
    def my_schedule(ranks, microbatches):
        programs = []
        for rank in range(ranks):
            F, I, W = ([f"{rank}{kind}{m}" for m in range(microbatches)] for kind in "FIW")
            warmup, late = min(ranks - 1 - rank, microbatches), min(rank, microbatches)
            program = F[:warmup]
            for m in range(microbatches):
                program += F[warmup + m : warmup + m + 1] + [I[m]]
                program += W[m - late : m - late + 1] if m >= late else []
            programs.append(program + W[microbatches - late :])
        return programs
"""


def write(folder: Path, code: str, name: str = "schedule.py") -> Path:
    """A file with this code; the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(textwrap.dedent(code))
    return folder / name
