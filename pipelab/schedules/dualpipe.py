"""DualPipe: micro-batches enter at both ends, so that a rank always has a forward to overlap with a backward."""

from collections import deque
from itertools import chain

from ..amounts import at_least, counted
from ..ir import Schedule, bidirectional
from ..ir.codes import code
from .building_blocks import Stream, overlapped, stream, turns
from .closed_form import StageCosts, Theory
from .registry import register

_INPUT_HALF, _WEIGHT_HALF = (code(half, 0, 0) - code("B", 0, 0) for half in "IW")  # what to add to a backward's code


def dualpipe(ranks: int, microbatches: int) -> Schedule:
    """Half of the micro-batches go down the ranks, the other half up.

    Every rank holds a stage of each direction, so that every parameter is there twice, and at most P+1 activations. In
    the steady phase each forward is overlapped with a backward of the other direction (F&B). Bubble (P/2-1)(F&B+B-3W)
    where F = I = W.

    Parameters
    ----------
    ranks : int
        P, an even number.
    microbatches : int
        M, an even number of at least 2P.

    Examples
    --------
    >>> for program in dualpipe(2, 4).programs:
    ...     print(*program)
    0F0 1F2 0F1 1B2 (1F3;0B0)OVERLAP_F_B 1B3 0I1 0W1
    0F2 1F0 0F3 1B0 (1F1;0B2)OVERLAP_F_B 1B1 0I3 0W3

    References
    ----------
    DeepSeek-V3, arXiv 2412.19437; deepseek-ai/DualPipe on GitHub, dualpipe.py.
    """
    placement = bidirectional(ranks)
    ranks, microbatches = placement.num_ranks, at_least(1, microbatches, "microbatches")
    require_sizes(ranks, microbatches)
    half = ranks // 2
    down, up = range(microbatches // 2), range(microbatches // 2, microbatches)
    phases = (
        eight_phases(half, rank, down, up) if rank < half else eight_phases(half, ranks - 1 - rank, up, down)
        for rank in range(ranks)
    )
    return Schedule("dualpipe", placement, microbatches, map(chain.from_iterable, phases))


def require_sizes(ranks: int, microbatches: int) -> None:
    """ValueError for sizes that DualPipe is not made for, with the nearest that it is."""
    _require_even("ranks", ranks, "the second half of them mirrors the first")
    require_full("DualPipe", ranks, microbatches)
    _require_even("micro-batches", microbatches, "as many go up as down")


def require_full(name: str, ranks: int, microbatches: int) -> None:
    """ValueError where micro-batches are too few for the steady phase."""
    if microbatches < 2 * ranks:
        needed = f"at least {2 * ranks} micro-batches for {counted(ranks, 'rank')}"
        raise ValueError(f"{name} needs {needed} (2P, or no rank gets to its steady phase); got {microbatches}")


def _require_even(what: str, count: int, why: str) -> None:
    if count % 2:
        nearest = f"{count - 1} or {count + 1}" if count > 1 else "2"
        raise ValueError(f"DualPipe needs an even number of {what} ({why}): {nearest}; got {count}")


def eight_phases(half: int, depth: int, near: range, far: range) -> tuple[tuple[int, ...], ...]:
    """A rank's program in the eight phases of DualPipe and DualPipeV, one after the other; DeepSeek calls them steps.

    Parameters
    ----------
    half : int
        Ranks on the way from where micro-batches enter to the middle (of DualPipeV: to the fold).
    depth : int
        Of this rank on that way: 0 where they enter, half - 1 in the middle.
    near, far : range
        The micro-batches that come to this rank before the middle, for stage `depth`, and those that come after it,
        for stage 2·half - 1 - depth.
    """
    deeper = half - 1 - depth  # ranks between this one and the middle
    f0, b0 = stream("F", depth, near), stream("B", depth, near)
    f1, b1 = stream("F", 2 * half - 1 - depth, far), stream("B", 2 * half - 1 - depth, far)
    late: deque[int] = deque()  # weight gradients put off
    i0, i1, w = _split(b0, late), _split(b1, late), iter(late.popleft, None)
    f0b1, f1b0 = overlapped(f0, b1), overlapped(f1, b0)
    phases = (
        # 1, 2. Micro-batches of one direction come in, then of both.
        turns(2 * deeper, f0),
        turns(depth + 1, f0, f1),
        # 3. The first gradients, split: the next rank has nothing else to do than to wait for them.
        turns(deeper, i1, w, f1),
        # 4. Steady. In the middle the first two are not overlapped, so that the first gradient of all leaves sooner.
        chain(
            turns(1, *f0b1, *f1b0) if deeper else turns(1, f0, b1, *f1b0),
            turns(len(near) - half - deeper - 1, *f0b1, *f1b0),
        ),
        # 5, 6. No micro-batch is left to come in from the near side, then from neither. Half of the backwards without a
        # forward are whole, half are split,
        turns(deeper, b1, *f1b0),
        chain(turns(1, *([b1, b0] * half)[: depth + 1]), turns(1, *([i1, i0] * half)[depth + 1 : 2 * depth + 2])),
        # 7, 8. so that there are W to do while the last gradients come back.
        turns(deeper, w, i0),
        turns(depth + 1, w),
    )
    return tuple(map(tuple, phases))  # in order: each takes from the streams what those before it have left


def _split(backwards: Stream, late: deque[int]) -> Stream:
    """The input half of each backward, when it is asked for; its weight half is then put off."""
    for both in backwards:
        late.append(both + _WEIGHT_HALF)
        yield both + _INPUT_HALF


def closed_form(ranks: int, microbatches: int, costs: StageCosts) -> Theory:
    """Published: bubble (P/2-1)(F&B+B-3W), two copies of the parameters, P+1 activations (arXiv 2412.19437).

    That bubble is exact where F = I = W, and still where F = I > W. In general the middle ranks idle
    k(F&B-W-min(I,W)) + max(kF, kI-F) with k = P/2-1, which may be more or less; ranks nearer to the ends have fewer
    overlapped pairs, so more to do. ValueError for sizes that DualPipe is not made for, and F&B shorter than F or B.
    """
    require_sizes(ranks, microbatches)
    f, b, i, w, overlapped = costs
    if overlapped < max(f, b):
        raise ValueError(
            f"an overlapped pair takes {overlapped}, less than its {'forward' if f > b else 'backward'} alone, "
            f"{max(f, b)}: then the closed form does not hold"
        )
    half = ranks // 2
    k = half - 1
    busy = []  # from the end to the middle
    for depth in range(half):
        pairs_done = microbatches - 3 * half + depth + (depth < k)
        busy.append((microbatches - pairs_done) * costs.both + pairs_done * overlapped)
    makespan = busy[k] + k * (overlapped - w - min(i, w)) + max(k * f, k * i - f)
    idle = tuple(makespan - work for work in busy)
    return Theory(
        makespan=makespan,
        idle=idle + idle[::-1],
        published_bubble=k * (overlapped + i - 2 * w),
        peak_activations=(ranks + 1,) * ranks,
        parameters=2,
        messages=2 * microbatches * (ranks - 1),
        formulas={
            "makespan": "(P+1)·(F+B) + (M-P-1)·F&B + bubble",
            "bubble": "k·(F&B - W - min(I, W)) + max(k·F, k·I-F)",
            "published bubble": "k·(F&B+B-3·W)",
            "k": "P/2-1",
            "peak activations": "P+1",
            "messages": "2·M·(P-1)",
        },
        assumes="F&B lies between the longer of F and B, and F+B. The bubble is that of the ranks in the middle, which "
        "are idle longest; the published one is the same where F = I ≥ W.",
    )


register(
    "dualpipe", dualpipe, closed_form=closed_form, lesson=6, stages_per_rank=2, middle=lambda ranks: ranks // 2 - 1
)
