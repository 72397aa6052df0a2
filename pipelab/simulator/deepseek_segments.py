"""Recorded segments: what a forward and a backward of four layers of DeepSeek-V3 took, from the published profile.

data/deepseek_v3_overlap.csv, which :mod:`pipelab.study.deepseek` distilled from that profile.
"""

from __future__ import annotations

import csv
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

FILE = "deepseek_v3_overlap.csv"


class RecordedSegment(NamedTuple):
    """One segment of one layer: kernels of one kind that follow each other.

    Attributes
    ----------
    block : str
        attn, mlp; for communication dispatch or combine with :prep, :notify (waiting for other ranks) or :a2a.
    direction : str
        F, B (backward for the input) or W.
    layer : int
        0 to 3; the backward goes through them in reverse.
    role : str
        compute or comm.
    start, end : int
        µs since the first kernel's start.
    busy : int
        The kernels' summed durations, µs.
    union : int
        Time in which at least one of them runs, µs: less than busy where two streams compute at once.
    kernels : int
        How many.
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


def recorded_segments() -> list[RecordedSegment]:
    """DeepSeek's overlapped pair of chunks, segment by segment, by start.

    Examples
    --------
    >>> print(*(s.block + s.direction for s in recorded_segments() if s.layer == 3 and s.role == "compute"))
    mlpB mlpW attnB attnW attnF mlpF
    """
    inside = files("pipelab") / "data" / FILE  # a link to the folder beside pipelab, where the system has links
    file = inside if inside.is_file() else Path(__file__).parents[2] / "data" / FILE
    _, *rows = csv.reader(file.read_text().splitlines())
    return [RecordedSegment(*(int(value) if value.isdecimal() else value for value in row)) for row in rows]  # type: ignore
