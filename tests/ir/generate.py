"""Random schedules, right ones and wrong ones, for property tests."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import strategies as st

from pipelab.ir import Action, Placement, Schedule, bidirectional, linear, looped, v_shape

from .reference import is_valid

PLACEMENTS = {
    "linear": linear,
    "looped": lambda ranks: looped(ranks, 2),
    "looped 3": lambda ranks: looped(ranks, 3),
    "v": v_shape,
    "bidirectional": bidirectional,
    # Stages unevenly dealt, and two routes that share no order: nothing that a named schedule has.
    "custom": lambda ranks: Placement("custom", ((*range(ranks), 0), (*reversed(range(ranks)), ranks - 1))),
}


@st.composite
def valid_schedules(
    draw: st.DrawFn, max_ranks: int = 4, max_microbatches: int = 4, training: bool | None = None
) -> Schedule:
    """A random order in which everything comes after what it needs, over a random placement.

    Backwards are whole, split or mixed; some neighbours are overlapped.
    """
    ranks, microbatches = draw(st.integers(1, max_ranks)), draw(st.integers(1, max_microbatches))
    placement = PLACEMENTS[draw(st.sampled_from(sorted(PLACEMENTS)))](ranks)
    if training is None:
        training = draw(st.integers(0, 9)) > 0
    split = draw(st.sampled_from([0.0, 0.5, 1.0]))
    overlap = draw(st.sampled_from([0.0, 0.5, 1.0]))
    random = Random(draw(st.integers(0, 2**32 - 1)))
    schedule = _interleaved(placement, microbatches, training, split, random)
    return _overlapped(schedule, overlap, random)


def random_schedule(placement: Placement, microbatches: int, seed: int, split: float, overlap: float) -> Schedule:
    """The same for one placement: so many of the backwards split, so many of the neighbours overlapped."""
    random = Random(seed)
    return _overlapped(_interleaved(placement, microbatches, True, split, random), overlap, random)


def _interleaved(placement: Placement, microbatches: int, training: bool, split: float, random: Random) -> Schedule:
    programs: list[list[Action]] = [[] for _ in range(placement.num_ranks)]
    ready = [Action("F", 0, m) for m in range(microbatches)]
    last = placement.num_stages - 1
    favour = random.choice(["", "F", "B"])
    while ready:
        favoured = [action for action in ready if favour and action.kind in favour] if random.random() < 0.7 else []
        action = random.choice(favoured or ready)
        ready.remove(action)
        kind, s, m, _ = action
        programs[placement.rank_of(s, m, microbatches)].append(action)
        backward = "I" if random.random() < split else "B"
        if kind == "F" and s < last:
            ready.append(Action("F", s + 1, m))
        elif kind == "F" and training:
            ready.append(Action(backward, s, m))
        if kind == "I":
            ready.append(Action("W", s, m))
        if kind in "IB" and s > 0:
            ready.append(Action(backward, s - 1, m))
    return Schedule("random", placement, microbatches, tuple(map(tuple, programs)), training)


def _overlapped(schedule: Schedule, share: float, random: Random) -> Schedule:
    """Fuse neighbouring forwards and backwards where the schedule stays right."""
    for rank in range(schedule.num_ranks):
        position = 0
        while position + 1 < len(schedule.programs[rank]):
            fused = fuse(schedule, rank, position)
            if fused and random.random() < share and is_valid(fused):
                schedule = fused
            position += 1
    return schedule


def fuse(schedule: Schedule, rank: int, position: int) -> Schedule | None:
    """The action there and the next as a pair, if they are a forward and a backward."""
    program = schedule.programs[rank]
    two = sorted(program[position : position + 2], key=lambda action: action.kind != "F")
    if [action.kind for action in two] not in (["F", "B"], ["F", "I"]):
        return None
    return with_program(schedule, rank, (*program[:position], Action.overlap(*two), *program[position + 2 :]))


def with_program(schedule: Schedule, rank: int, program: tuple[Action, ...]) -> Schedule:
    return replace(schedule, programs=(*schedule.programs[:rank], tuple(program), *schedule.programs[rank + 1 :]))


@st.composite
def mutated(draw: st.DrawFn, schedule: Schedule) -> Schedule:
    """The schedule with one to three random changes; it may still be right."""
    random = Random(draw(st.integers(0, 2**32 - 1)))
    for _ in range(draw(st.integers(1, 3))):
        schedule = draw(st.sampled_from(MUTATIONS))(schedule, random)
    return schedule


def _pick(schedule: Schedule, random: Random) -> tuple[int, int]:
    rank = random.choice([r for r, program in enumerate(schedule.programs) if program] or [0])
    return rank, random.randrange(max(1, len(schedule.programs[rank])))


def _remove(schedule: Schedule, random: Random) -> Schedule:
    rank, i = _pick(schedule, random)
    program = schedule.programs[rank]
    return with_program(schedule, rank, program[:i] + program[i + 1 :])


def _double(schedule: Schedule, random: Random) -> Schedule:
    rank, i = _pick(schedule, random)
    program = [*schedule.programs[rank]]
    program.insert(random.randrange(len(program) + 1), *program[i : i + 1] or [Action("F", 0, 0)])
    return with_program(schedule, rank, tuple(program))


def _move(schedule: Schedule, random: Random) -> Schedule:
    rank, i = _pick(schedule, random)
    moving = schedule.programs[rank][i : i + 1]
    target = random.randrange(schedule.num_ranks)
    schedule = _remove_at(schedule, rank, i)
    program = schedule.programs[target]
    j = random.randrange(len(program) + 1)
    return with_program(schedule, target, program[:j] + moving + program[j:])


def _remove_at(schedule: Schedule, rank: int, i: int) -> Schedule:
    program = schedule.programs[rank]
    return with_program(schedule, rank, program[:i] + program[i + 1 :])


def _swap(schedule: Schedule, random: Random) -> Schedule:
    rank, i = _pick(schedule, random)
    program = [*schedule.programs[rank]]
    if len(program) > 1:
        j = random.randrange(len(program)) if random.random() < 0.5 else (i + 1) % len(program)
        program[i], program[j] = program[j], program[i]
    return with_program(schedule, rank, tuple(program))


def _relabel(schedule: Schedule, random: Random) -> Schedule:
    rank, i = _pick(schedule, random)
    program = [*schedule.programs[rank]]
    stage, microbatch = random.randint(-1, schedule.num_stages), random.randint(-1, schedule.num_microbatches)
    kind = random.choice(["F", "I", "W", "B", "OVERLAP_F_B", "X"])
    if program:
        program[i] = random.choice(
            [
                program[i]._replace(stage=stage),
                program[i]._replace(microbatch=microbatch),
                program[i]._replace(kind=kind),
            ]
        )
    return with_program(schedule, rank, tuple(program))


def _split(schedule: Schedule, random: Random) -> Schedule:
    """A whole backward becomes I and W, in either order."""
    rank, i = _pick(schedule, random)
    program = schedule.programs[rank]
    if not program or program[i].kind != "B":
        return schedule
    halves = [program[i]._replace(kind=kind) for kind in random.sample("IW", 2)]
    return with_program(schedule, rank, program[:i] + tuple(halves) + program[i + 1 :])


def _fuse(schedule: Schedule, random: Random) -> Schedule:
    rank, i = _pick(schedule, random)
    return fuse(schedule, rank, i) or schedule


def _odd_pair(schedule: Schedule, random: Random) -> Schedule:
    """A pair that is none: two forwards, three parts, or in the wrong order."""
    rank, i = _pick(schedule, random)
    program = schedule.programs[rank]
    several = program[i : i + random.randint(1, 3)]
    if not several or any(action.parts for action in several):
        return schedule
    odd = Action("OVERLAP_F_B", several[0].stage, several[0].microbatch, several)
    return with_program(schedule, rank, (*program[:i], odd, *program[i + len(several) :]))


MUTATIONS = [_remove, _double, _move, _swap, _swap, _relabel, _split, _fuse, _odd_pair]
