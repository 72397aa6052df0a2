"""Replicate check: does a student's function give the next replica to the expert whose replicas are the heaviest?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement

from ..isolation import Question
from .feedback import Feedback
from .judge import Called, Judge, Judged, Replies
from .reading import whole_numbers

LARGER = [8, 3, 9, 4, 1, 7, 2, 5, 6, 3, 12, 5]  # what small examples may let pass


def check_replicate(fn: Callable[[list[int], int], Sequence[int]]) -> Feedback:
    """Check that every further replica goes to the expert whose replicas are the heaviest at that moment.

    Parameters
    ----------
    fn : function (load, replicas) -> the number of replicas of each expert
        load: whole numbers, one per expert. replicas: how many in all, at least one each. Where several experts are
        equally heavy, any of them may be next.

    Examples
    --------
    >>> check_replicate(lambda load, replicas: [1 + replicas - len(load)] + [1] * (len(load) - 1))
    ✗ Not right yet, with load [1, 2] and 3 replicas
      - your replicas are [2, 1]
      - expert 0 got its last replica when each of its replicas had 1; each of expert 1's still has 2
    """
    tried = (f"checked on {len(REPLICATE.cases)} loads",)
    right = Feedback(True, "Right: no other replicas make the heaviest one lighter", tried)
    return REPLICATE.feedback(Called({"my_replicate": fn}), right)


def replicate_question(case: tuple[list[int], int]) -> Question:
    return Question("balancer.py", "my_replicate", case)


def _verdict(replies: Replies, case: tuple[list[int], int]) -> Judged:
    load, replicas = case
    answer = replies[replicate_question(case)]
    given = whole_numbers(answer, len(load), "your function", "replicas of each expert", "experts")
    reasons = _wrong_replicas(given, load, replicas)
    return Judged(not reasons, (f"your replicas are {given}", *reasons) if reasons else ())


def replication_cases() -> Iterator[tuple[list[int], int]]:
    """(load, replicas), small ones first; all zeros, one expert with everything, equal loads and ties among them."""
    for experts in (2, 3):
        for extra in range(4):
            for load in combinations_of((1, 2, 3, 6), experts):
                yield list(load), experts + extra
                if len({*load}) > 1:
                    yield list(load[::-1]), experts + extra
    yield [5], 1
    yield [5], 4
    yield from (([0] * 6, 9), ([0, 0, 0, 7, 0, 0], 9), ([4] * 6, 9), (LARGER, 12), (LARGER, 16), (LARGER, 40))


def combinations_of(numbers: tuple[int, ...], length: int) -> list[tuple[int, ...]]:
    """So many of them, in all ways; last those with zeros, which are harder to read."""
    return sorted(combinations_with_replacement((0, *numbers), length), key=lambda each: each.count(0))


def _wrong_replicas(given: list[int], load: list[int], replicas: int) -> list[str]:
    if without := [expert for expert, count in enumerate(given) if count < 1]:
        return [f"expert {without[0]} has {given[without[0]]}: every expert needs a replica"]
    if sum(given) != replicas:
        return [f"they are {sum(given)} in all; {replicas} are wanted"]
    # In exact numbers: load / (given - 1) was each one's weight before its last replica, which was then the heaviest.
    heaviest = max(range(len(load)), key=lambda expert: load[expert] / given[expert])
    for expert, count in enumerate(given):
        if count > 1 and load[expert] * given[heaviest] < load[heaviest] * (count - 1):
            before, now = load[expert] / (count - 1), load[heaviest] / given[heaviest]
            return [
                f"expert {expert} got its last replica when each of its replicas had {before:g}; "
                f"each of expert {heaviest}'s still has {now:g}"
            ]
    return []


REPLICATE: Judge[tuple[list[int], int]] = Judge(
    tuple(replication_cases()), _verdict, lambda case: (f"load {case[0]}", f"{case[1]} replicas")
)
