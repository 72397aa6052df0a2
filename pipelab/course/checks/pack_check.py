"""Pack check: does a student's function put the heaviest item onto the lightest GPU that has room?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement

from ...amounts import counted
from ...eplb.reference import finish, pack_steps
from ..isolation import Question
from .feedback import Feedback
from .judge import Called, Judge, Judged, Replies
from .reading import whole_numbers
from .replicate_check import LARGER, combinations_of


def check_pack(fn: Callable[[list[int], int], Sequence[int]]) -> Feedback:
    """Check that the heaviest item that is left goes onto the lightest GPU that has room, or that it packs even better.

    Parameters
    ----------
    fn : function (weights, gpus) -> the number of its GPU for each item
        weights: whole numbers, a multiple of gpus of them; every GPU takes equally many items. Where several items or
        GPUs are equal, any of them will do.

    Examples
    --------
    >>> check_pack(lambda weights, gpus: [item % gpus for item in range(len(weights))])
    ✗ Not right yet, with weights [2, 1, 2, 1] on 2 GPUs
      - your GPUs are [0, 1, 0, 1], with loads [4, 2]; 3 on the busiest is possible
      - an item of weight 2 is next, and GPU 1, with 0, is the lightest with room; yours puts it on GPU 0, with 2
    """
    tried = (f"checked on {len(PACK.cases)} lists of weights",)
    right = Feedback(True, "Right: heaviest first, onto the lightest with room", tried)
    return PACK.feedback(Called({"my_pack": fn}), right)


def pack_question(case: tuple[list[int], int]) -> Question:
    return Question("balancer.py", "my_pack", case)


def _packs(replies: Replies, case: tuple[list[int], int]) -> Judged:
    weights, gpus = case
    gpu_of = whole_numbers(replies[pack_question(case)], len(weights), "your function", "a GPU for each item", "items")
    reasons = _wrong_packs(gpu_of, weights, gpus)
    return Judged(not reasons, tuple(reasons))


def packing_cases() -> Iterator[tuple[list[int], int]]:
    """(weights, gpus), small ones first."""
    yield [3, 2], 2
    yield [2, 3], 1
    for weights in combinations_of((1, 2, 3, 6), 4):
        for order in ((0, 1, 2, 3), (3, 0, 2, 1)):
            yield [weights[place] for place in order], 2
    for weights in combinations_with_replacement((1, 2, 4, 5), 6):
        for gpus in (2, 3):
            yield [weights[place] for place in (2, 5, 0, 3, 1, 4)], gpus
    yield from (([0] * 8, 4), ([0, 0, 9, 0, 0, 0], 3), ([4] * 9, 3), (LARGER, 4), (LARGER, 3), (LARGER, 12))


def _wrong_packs(gpu_of: list[int], weights: list[int], gpus: int) -> list[str]:
    room = len(weights) // gpus
    if beyond := [gpu for gpu in gpu_of if not 0 <= gpu < gpus]:
        return [f"there is no GPU {beyond[0]}; they are 0 to {gpus - 1}"]
    for gpu in range(gpus):
        if (held := gpu_of.count(gpu)) > room:
            return [f"your GPUs are {gpu_of}: GPU {gpu} gets {held} items and has room for {room}"]
    loads = [sum(w for w, its in zip(weights, gpu_of, strict=True) if its == gpu) for gpu in range(gpus)]
    greedy = max(sum(weights[item] for item in pack) for pack in finish(pack_steps(weights, gpus)))
    reason = _first_against_the_rule(gpu_of, weights, gpus)
    if reason is None or max(loads) <= greedy:
        return []
    return [f"your GPUs are {gpu_of}, with loads {loads}; {greedy} on the busiest is possible", reason]


def _first_against_the_rule(gpu_of: list[int], weights: list[int], gpus: int) -> str | None:
    """Follow the rule towards this answer, breaking ties as it does; say where that becomes impossible, and why."""
    room = len(weights) // gpus
    load, held = [0] * gpus, [0] * gpus
    for weight in sorted({*weights}, reverse=True):
        left = [its for w, its in zip(weights, gpu_of, strict=True) if w == weight]
        while left:
            least = min(load[gpu] for gpu in range(gpus) if held[gpu] < room)
            lightest = [gpu for gpu in range(gpus) if held[gpu] < room and load[gpu] == least]
            gpu = next((gpu for gpu in lightest if gpu in left), None)
            if gpu is None:
                return (
                    f"an item of weight {weight} is next, and GPU {lightest[0]}, with {least}, is the lightest with "
                    f"room; yours puts it on GPU {left[0]}, with {load[left[0]]}"
                )
            left.remove(gpu)
            load[gpu] += weight
            held[gpu] += 1
    return None


PACK: Judge[tuple[list[int], int]] = Judge(
    tuple(packing_cases()), _packs, lambda case: (f"weights {case[0]} on {counted(case[1], 'GPU')}",)
)
