"""How long until real ranks work: the first time in a kernel, and again.

The first start imports torch in the forkserver; a warm one only forks. Measured in a process of its own, as a fresh
notebook kernel is one, up to the first action of the pipeline. What importing torch takes by itself is measured beside,
in another process for each of these.
"""

from __future__ import annotations

import json
import subprocess
import sys
from statistics import median

from _table import Row, arguments, show

FRESH_KERNEL = """
import json, sys, time
began = time.monotonic()
from pipelab import run
from pipelab.schedules import one_f_one_b
imported = time.monotonic()
ranks, times = int(sys.argv[1]), int(sys.argv[2])
starts = [run(one_f_one_b(ranks, 8), check=False).start_seconds for _ in range(1 + times)]
print(json.dumps({"import": imported - began, "starts": starts}))
"""
TORCH = "import time; began = time.monotonic(); import torch; print(time.monotonic() - began)"
LIMIT = 0.6  # seconds that the first start may take beside importing torch


def output(program: str, *arguments: object) -> str:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(ranks: int, repeats: int, kernels: int) -> Row:
    """One line of the table."""
    imports, torchs, first, again = [], [], [], []
    for _ in range(kernels):
        torchs.append(float(output(TORCH)))
        answer = json.loads(output(FRESH_KERNEL, ranks, repeats))
        imports.append(answer["import"])
        first.append(answer["starts"][0])
        again += answer["starts"][1:]
    return {
        "ranks": ranks,
        "import pipelab s": median(imports),
        "first start s": median(first),
        "worst first s": max(first),
        "import torch s": median(torchs),
        "first - torch s": median(first) - median(torchs),
        "limit s": LIMIT,
        "warm start s": median(again),
        "worst warm s": max(again),
    }


def main() -> None:
    options = arguments(__doc__, repeats=10, kernels=3)
    rows = [measure(ranks, options.repeats, options.kernels) for ranks in (2, 4, 8)]
    note = f"from the call of run to the first action; {options.kernels} kernels, {options.repeats} warm runs in each"
    show(options, rows, note)


if __name__ == "__main__":
    main()
