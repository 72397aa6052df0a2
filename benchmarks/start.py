"""How long until real ranks work: the first time in a kernel, and again.

The first start imports torch in the forkserver; a warm one only forks. Measured in a process of its own, as a fresh
notebook kernel is one, up to the first action of the pipeline.
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


def measure(ranks: int, repeats: int, kernels: int) -> Row:
    """One line of the table."""
    imports, first, again = [], [], []
    for _ in range(kernels):
        command = [sys.executable, "-c", FRESH_KERNEL, str(ranks), str(repeats)]
        answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        imports.append(answer["import"])
        first.append(answer["starts"][0])
        again += answer["starts"][1:]
    return {
        "ranks": ranks,
        "import pipelab s": median(imports),
        "first start s": median(first),
        "worst first s": max(first),
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
