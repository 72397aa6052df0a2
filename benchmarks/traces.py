"""Reading profiler traces: how fast, and in how much memory?

The traces are made up, in the proportions of a real one: per kernel an operator on the CPU, a call that launches it and
the two ends of an arrow between them, 40 kernels to an annotation. Each is read in a process of its own, whose largest
memory is what the operating system says. The same process then has JSON libraries read the file, as a whole and into
memory: json, msgspec, and orjson where it is installed. Give files (traces of your own) to read those instead.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from _table import Row, parser, show

READ = """
import json, pathlib, resource, sys, time
from pipelab.profiler import load_profile
import msgspec, numpy
unit = 2**20 if sys.platform == "darwin" else 2**10
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
profile = load_profile(sys.argv[1])
loaded = time.perf_counter()
str(profile), profile.blocks()
done = time.perf_counter()
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
libraries = {"json": json.loads, "msgspec": msgspec.json.decode}
try:
    import orjson
except ImportError:
    pass
else:
    libraries["orjson"] = orjson.loads
takes = {}
for name, read in libraries.items():
    began = time.perf_counter()
    whole = read(pathlib.Path(sys.argv[1]).read_bytes())
    takes[name] = time.perf_counter() - began
    del whole
print(json.dumps([len(profile), loaded - start, done - loaded, most / unit, before / unit, takes]))
"""


def make(path: Path, megabytes: int, gpu: bool) -> Path:
    """Write a trace of about that size."""
    operator = '{{"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1, "ts": {0}.125, "dur": 9.5, '
    operator += '"args": {{"External id": {1}, "Sequence number": {1}, "Fwd thread id": 0, "Ev Idx": {1}}}}},\n'
    work = '{{"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 1, "tid": 1, "ts": {0}.5, '
    work += '"dur": 4.25, "args": {{"External id": {1}, "cbid": 211, "correlation": {1}}}}},\n'
    work += '{{"ph": "s", "id": {1}, "pid": 1, "tid": 1, "ts": {0}.5, "cat": "ac2g", "name": "ac2g"}},\n'
    work += '{{"ph": "X", "cat": "kernel", "name": "void cutlass::device_kernel<gemm_bf16_128x128_{3}>(Params)", '
    work += '"pid": 0, "tid": {2}, "ts": {4}.75, "dur": 8.125, "args": {{"External id": {1}, "queued": 0, "device": 0, '
    work += '"context": 1, "stream": {2}, "correlation": {1}, "registers per thread": 168, "shared memory": 98304, '
    work += '"blocks per SM": 31.030304, "warps per SM": 124.121216, "grid": [4096, 1, 1], "block": [128, 1, 1], '
    work += '"est. achieved occupancy %": 100}}}},\n'
    work += '{{"ph": "f", "id": {1}, "pid": 0, "tid": {2}, "ts": {4}.75, "cat": "ac2g", "name": "ac2g", "bp": "e"}},\n'
    label = '{{"ph": "X", "cat": "user_annotation", "name": "layer {0}", "pid": 1, "tid": 1, "ts": {1}, "dur": 400, '
    label += '"args": {{"External id": 1}}}},\n'
    with path.open("w") as file:
        file.write('{"schemaVersion": 1, "distributedInfo": {"rank": 0, "world_size": 8}, "traceEvents": [\n')
        number, now = 1, 1_740_461_679_470_692
        while file.tell() < megabytes * 10**6:
            lines = [label.format(number // 40 % 64, now)]
            for _ in range(40):
                stream = 7 + 20 * (number % 5 == 0)
                name = f"nccl{number % 3}" if stream == 27 else f"tile{number % 50}"
                lines.append(operator.format(now, number))
                if gpu:
                    lines.append(work.format(now, number, stream, name, now + 5000))
                number, now = number + 1, now + 10
            file.write("".join(lines))
        file.write('{"ph": "i", "name": "Record Window End", "pid": "", "tid": "", "ts": 0, "s": "g"}\n]}\n')
    return path


def measure(path: Path) -> Row:
    """One line of the table."""
    said = subprocess.check_output([sys.executable, "-c", READ, str(path)], text=True)
    works, loading, analysing, most, before, takes = json.loads(said)
    size = path.stat().st_size / 1e6
    return {
        "trace": path.name,
        "MB": size,
        "pieces of work": works,
        "load s": loading,
        **{f"{library} s": takes.get(library, "-") for library in ("json", "msgspec", "orjson")},
        "load / the fastest": loading / min(takes.values()),
        "limit": 1.5 if size > 100 else "-",
        "all figures s": analysing,
        "MB/s": size / loading,
        "memory MiB": most,
        "of it before": before,
    }


def main() -> None:
    line = parser(__doc__, largest=200)
    line.add_argument("files", nargs="*", type=Path, metavar="TRACE")
    options = line.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = ((f"{kind}-{mb}.json", mb, kind == "gpu") for mb in (3, options.largest) for kind in ("gpu", "cpu"))
        files = options.files or (make(Path(folder, name), mb, gpu) for name, mb, gpu in made)
        rows = [measure(path) for path in files]
    show(options, rows, "limits: 3 MB in 1 s; 200 MB in 1 GB of memory")


if __name__ == "__main__":
    main()
