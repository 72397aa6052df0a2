"""DeepSeek's DualPipe and DualPipeV written a second time: its eight steps as text, read with counters.

On a rank of the first half, direction 0 is that of the micro-batches that come from its own end, 1 the other one. F0 is
the next forward of direction 0, I1 the next backward of direction 1 without its weight gradients, B1 with them, W the
weight gradients that have waited longest, F0&B1 an overlapped pair.
"""

from __future__ import annotations


def steps(half: int, depth: int, incoming: int) -> list[tuple[int, str]]:
    """(how often, what) of a rank that is `depth` ranks from the end, with `half` ranks to the middle.

    incoming    micro-batches of each direction
    """
    inner = half - depth - 1
    main = incoming - 2 * half + depth + 1
    first = "F0 B1 F1&B0" if inner == 0 else "F0&B1 F1&B0"  # not overlapped in the middle
    plan = [
        (2 * inner, "F0"),
        (depth + 1, "F0 F1"),
        (inner, "I1 W F1"),
        (1, first),
        (main - 1, "F0&B1 F1&B0"),
        (inner, "B1 F1&B0"),
    ]
    # The drain's backwards, B1 and B0 in turn: from which one on are they split?
    split = False
    for turn in range(depth + 1):
        if turn == (depth + 1) // 2 and depth % 2 == 1:
            split = True
        plan.append((1, "I1" if split else "B1"))
        if turn == (depth + 1) // 2 and depth % 2 == 0:
            split = True
        plan.append((1, "I0" if split else "B0"))
    return [*plan, (inner, "W I0"), (depth + 1, "W")]


def program(plan: list[tuple[int, str]], stages: tuple[int, int], first: tuple[int, int]) -> str:
    """The plan in PyTorch's notation. stages, first: of each direction, its stage here and its first micro-batch."""
    forwards, backwards, waiting = list(first), list(first), []

    def written(word: str) -> str:
        if word == "W":
            return waiting.pop(0)
        kind, direction = word[0], int(word[1])
        counters = forwards if kind == "F" else backwards
        number = counters[direction]
        counters[direction] += 1
        if kind == "I":
            waiting.append(f"{stages[direction]}W{number}")
        return f"{stages[direction]}{kind}{number}"

    done = []
    for count, words in plan:
        for word in words.split() * count:
            pair = [written(part) for part in word.split("&")]
            done.append(pair[0] if len(pair) == 1 else f"({pair[0]};{pair[1]})OVERLAP_F_B")
    assert not waiting
    return ",".join(done)


def dualpipe(ranks: int, microbatches: int) -> list[str]:
    """One line per rank. Direction 0 of a rank in the second half is direction 1 of one in the first."""
    half, each = ranks // 2, microbatches // 2
    lines = []
    for rank in range(ranks):
        depth = min(rank, ranks - 1 - rank)
        upper = rank < half
        near_stage = rank if upper else ranks - 1 - rank  # stage s of the way up is on rank P-1-s
        far_stage = ranks - 1 - rank if upper else rank
        first = (0, each) if upper else (each, 0)
        lines.append(program(steps(half, depth, each), (near_stage, far_stage), first))
    return lines


def dualpipe_v(ranks: int, microbatches: int) -> list[str]:
    """One line per rank. Direction 0 goes down to the fold, 1 comes back from it."""
    return [program(steps(ranks, rank, microbatches), (rank, 2 * ranks - 1 - rank), (0, 0)) for rank in range(ranks)]
