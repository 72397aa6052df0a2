"""Submissions for tests: good ones, and folders to put others in."""

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


DUALPIPE = """
    def my_schedule(ranks, M):
        half = ranks // 2

        def program(rank, near, far):
            s, t, deeper = rank, ranks - 1 - rank, half - 1 - rank
            f0, b0, f1, b1 = iter(near), iter(near), iter(far), iter(far)
            out, late = [], []

            def whole(kind, stage, stream):
                out.append(f"{stage}{kind}{next(stream)}")

            def split(stage, stream):
                m = next(stream)
                late.append(f"{stage}W{m}")
                out.append(f"{stage}I{m}")

            def pair(f, fs, b, bs):
                out.append(f"({fs}F{next(f)};{bs}B{next(b)})OVERLAP_F_B")

            for _ in range(2 * deeper):
                whole("F", s, f0)
            for _ in range(rank + 1):
                whole("F", s, f0)
                whole("F", t, f1)
            for _ in range(deeper):
                split(t, b1)
                out.append(late.pop(0))
                whole("F", t, f1)
            if deeper:
                pair(f0, s, b1, t)
            else:
                whole("F", s, f0)
                whole("B", t, b1)
            pair(f1, t, b0, s)
            for _ in range(len(near) - half - deeper - 1):
                pair(f0, s, b1, t)
                pair(f1, t, b0, s)
            for _ in range(deeper):
                whole("B", t, b1)
                pair(f1, t, b0, s)
            turn = [(t, b1), (s, b0)] * half
            for stage, stream in turn[: rank + 1]:
                whole("B", stage, stream)
            for stage, stream in turn[rank + 1 : 2 * rank + 2]:
                split(stage, stream)
            for _ in range(deeper):
                out.append(late.pop(0))
                split(s, b0)
            return out + late

        down, up = range(M // 2), range(M // 2, M)
        return [program(r, down, up) if r < half else program(ranks - 1 - r, up, down) for r in range(ranks)]
"""

ORDER = """
    def my_order():
        return ["combine(B)", "attention(F)", "dispatch(F)", "experts(B)", "dispatch(B)", "experts(W)", "experts(F)",
                "combine(F)", "attention(B)", "attention(W)"]
"""

BALANCER = """
    def my_replicate(load, replicas):
        copies = [1] * len(load)
        for _ in range(replicas - len(load)):
            copies[max(range(len(load)), key=lambda expert: load[expert] / copies[expert])] += 1
        return copies

    def my_pack(weights, gpus):
        gpu_of, total, room = [0] * len(weights), [0] * gpus, [len(weights) // gpus] * gpus
        for item in sorted(range(len(weights)), key=lambda item: -weights[item]):
            gpu = min((g for g in range(gpus) if room[g]), key=lambda g: total[g])
            gpu_of[item], total[gpu], room[gpu] = gpu, total[gpu] + weights[item], room[gpu] - 1
        return gpu_of

    def my_balancer(load, replicas, gpus, nodes, groups):
        plan = []
        for row in load:
            copies = my_replicate(list(row), replicas)
            experts = [expert for expert, count in enumerate(copies) for _ in range(count)]
            gpu_of = my_pack([row[expert] / copies[expert] for expert in experts], gpus)
            plan.append([expert for gpu in range(gpus) for expert, its in zip(experts, gpu_of) if its == gpu])
        return plan
"""

GOOD = {
    "gpipe-and-1f1b": {"schedule.py": GPIPE_AND_1F1B},
    "fill-the-bubbles": {"schedule.py": ZERO_BUBBLE},
    "dualpipe": {"schedule.py": DUALPIPE},
    "overlap-order": {"order.py": ORDER},
    "replicate-and-pack": {"balancer.py": BALANCER},
    "leaderboard": {
        "schedule.py": DUALPIPE,
        "balancer.py": """
            import pipelab

            def my_balancer(load, replicas, gpus, nodes, groups):
                return pipelab.rebalance(load, replicas, gpus, nodes, groups, policy="refined").physical_to_logical
        """,
    },
}


def submission(folder: Path, assignment: str) -> Path:
    """A good one, in this folder."""
    for name, code in GOOD[assignment].items():
        write(folder, code, name)
    return folder
