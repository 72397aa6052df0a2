"""Balance: check a student's replication and packing of experts, and explain with a small example."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement
from typing import Any

from ..eplb import reference
from ..eplb.sizes import as_array
from .exercise import Feedback

Replicate = Callable[[list[int], int], Sequence[int]]
Pack = Callable[[list[int], int], Sequence[int]]

_LARGER = [8, 3, 9, 4, 1, 7, 2, 5, 6, 3, 12, 5]  # what small examples may let pass


# -- replicate ---------------------------------------------------------------------------------------------------------


def check_replicate(fn: Replicate) -> Feedback:
    """Does it hand out copies so that the next one always goes to the expert whose copies are the heaviest?

    fn   (load, replicas) -> copies of each expert. load: a list of whole numbers, one per expert; replicas: copies in
         all, at least one each. Where several experts are equally heavy, any of them may be next

    >>> print(check_replicate(lambda load, replicas: [1 + replicas - len(load)] + [1] * (len(load) - 1)))
    ✗ Not right yet, with load [1, 2] and 3 replicas
      - your copies are [2, 1]
      - expert 0 got its last copy when each of its copies had 1; each of expert 1's still has 2
    """
    tried = 0
    for load, replicas in replication_cases():
        where = f"with load {load} and {replicas} replicas"
        try:
            answer = fn(list(load), replicas)
        except Exception as error:
            return failed(error, where)
        try:
            copies = whole_numbers(answer, len(load), "your function", "copies of each expert", "experts")
        except ValueError as error:
            return Feedback(False, f"Not right yet, {where}", (str(error),))
        if reasons := wrong_copies(copies, load, replicas):
            return Feedback(False, f"Not right yet, {where}", (f"your copies are {copies}", *reasons))
        tried += 1
    return Feedback(True, "Right: no other copies make the heaviest copy lighter", (f"checked on {tried} loads",))


def replication_cases() -> Iterator[tuple[list[int], int]]:
    """(load, replicas), small ones first; all zeros, one expert with everything, equal loads and ties among them."""
    for experts in (2, 3):
        for extra in range(4):
            for load in _combinations((1, 2, 3, 6), experts):
                yield list(load), experts + extra
                if len({*load}) > 1:
                    yield list(load[::-1]), experts + extra
    yield [5], 1
    yield [5], 4
    yield from (([0] * 6, 9), ([0, 0, 0, 7, 0, 0], 9), ([4] * 6, 9), (_LARGER, 12), (_LARGER, 16), (_LARGER, 40))


def _combinations(numbers: tuple[int, ...], length: int) -> Iterator[tuple[int, ...]]:
    """So many of them, in all ways; last those with zeros, which are harder to read."""
    yield from combinations_with_replacement(numbers, length)
    for zeros in range(1, length + 1):
        for others in combinations_with_replacement(numbers, length - zeros):
            yield (0,) * zeros + others


def wrong_copies(copies: list[int], load: list[int], replicas: int) -> list[str]:
    if without := [expert for expert, count in enumerate(copies) if count < 1]:
        return [f"expert {without[0]} has {copies[without[0]]}: every expert needs a copy"]
    if sum(copies) != replicas:
        return [f"they are {sum(copies)} in all; {replicas} are wanted"]
    # In exact numbers: load / (copies - 1) was each one's weight before its last copy, which was then the heaviest.
    heaviest = max(range(len(load)), key=lambda expert: load[expert] / copies[expert])
    for expert, count in enumerate(copies):
        if count > 1 and load[expert] * copies[heaviest] < load[heaviest] * (count - 1):
            before, now = load[expert] / (count - 1), load[heaviest] / copies[heaviest]
            return [
                f"expert {expert} got its last copy when each of its copies had {before:g}; "
                f"each of expert {heaviest}'s still has {now:g}"
            ]
    return []


# -- pack --------------------------------------------------------------------------------------------------------------


def check_pack(fn: Pack) -> Feedback:
    """Does it put the heaviest item that is left onto the lightest GPU that has room, or pack even better?

    fn   (weights, gpus) -> the number of its GPU for each item. weights: a list of whole numbers, a multiple of gpus;
         every GPU takes equally many items. Where several items or GPUs are equal, any of them will do

    >>> print(check_pack(lambda weights, gpus: [item % gpus for item in range(len(weights))]))
    ✗ Not right yet, with weights [2, 1, 2, 1] on 2 GPUs
      - your GPUs are [0, 1, 0, 1], with loads [4, 2]; 3 on the busiest is possible
      - an item of weight 2 is next, and GPU 1, with 0, is the lightest with room; yours puts it on GPU 0, with 2
    """
    tried = 0
    for weights, gpus in packing_cases():
        where = f"with weights {weights} on {gpus} GPU{'s' * (gpus > 1)}"
        try:
            answer = fn(list(weights), gpus)
        except Exception as error:
            return failed(error, where)
        try:
            gpu_of = whole_numbers(answer, len(weights), "your function", "a GPU for each item", "items")
        except ValueError as error:
            return Feedback(False, f"Not right yet, {where}", (str(error),))
        if reasons := wrong_packs(gpu_of, weights, gpus):
            return Feedback(False, f"Not right yet, {where}", tuple(reasons))
        tried += 1
    return Feedback(
        True, "Right: heaviest first, onto the lightest with room", (f"checked on {tried} lists of weights",)
    )


def packing_cases() -> Iterator[tuple[list[int], int]]:
    """(weights, gpus), small ones first."""
    yield [3, 2], 2
    yield [2, 3], 1
    for weights in _combinations((1, 2, 3, 6), 4):
        for order in ((0, 1, 2, 3), (3, 0, 2, 1)):
            yield [weights[place] for place in order], 2
    for weights in combinations_with_replacement((1, 2, 4, 5), 6):
        for gpus in (2, 3):
            yield [weights[place] for place in (2, 5, 0, 3, 1, 4)], gpus
    yield from (([0] * 8, 4), ([0, 0, 9, 0, 0, 0], 3), ([4] * 9, 3), (_LARGER, 4), (_LARGER, 3), (_LARGER, 12))


def wrong_packs(gpu_of: list[int], weights: list[int], gpus: int) -> list[str]:
    room = len(weights) // gpus
    if beyond := [gpu for gpu in gpu_of if not 0 <= gpu < gpus]:
        return [f"there is no GPU {beyond[0]}; they are 0 to {gpus - 1}"]
    for gpu in range(gpus):
        if (held := gpu_of.count(gpu)) > room:
            return [f"your GPUs are {gpu_of}: GPU {gpu} gets {held} items and has room for {room}"]
    loads = [sum(w for w, its in zip(weights, gpu_of, strict=True) if its == gpu) for gpu in range(gpus)]
    greedy = max(sum(weights[item] for item in pack) for pack in reference.finish(reference.pack_steps(weights, gpus)))
    reason = _first_against_the_rule(gpu_of, weights, gpus)
    if reason is None or max(loads) <= greedy:
        return []
    return [f"your GPUs are {gpu_of}, with loads {loads}; {greedy} on the busiest is possible", reason]


def _first_against_the_rule(gpu_of: list[int], weights: list[int], gpus: int) -> str | None:
    """Follow the rule towards this answer, whatever it did where several were equal; where that ends, say why."""
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


# -- answers -----------------------------------------------------------------------------------------------------------


def failed(error: Exception, where: str) -> Feedback:
    return Feedback(False, f"Your function fails {where}", (f"{type(error).__name__}: {error}",))


def whole_numbers(answer: Any, length: int, who: str, what: str, each: str) -> list[int]:
    """A list of that many whole numbers. ValueError that says what it is instead."""
    if answer is None:
        raise ValueError(f"{who} returns None; return {what}")
    try:
        values = as_array(answer).tolist() if hasattr(answer, "shape") else list(answer)
    except TypeError:
        raise ValueError(f"{who} is {answer!r}, {type(answer).__name__}; {what} is wanted, as a list") from None
    if not isinstance(values, list) or len(values) != length:
        has = f"{len(values)} entries" if isinstance(values, list) else "one number"
        raise ValueError(f"{who} has {has}; {what} is wanted, and there are {length} {each}")
    for place, value in enumerate(values):
        try:
            whole = int(value) == value
        except (TypeError, ValueError, OverflowError):
            whole = False
        if not whole:
            raise ValueError(f"entry {place} of {who} is {value!r}, which is no whole number")
    return [int(value) for value in values]
