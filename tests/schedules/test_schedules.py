"""The named schedules: valid for any number of ranks and micro-batches, each in the order that its paper describes."""

import numpy as np
import pytest
from hypothesis import example, given, settings, strategies as st

import pipelab
from pipelab.ir import check, linear, lower
from pipelab.schedules import SCHEDULES, build, gpipe, naive, one_f_one_b
from tests.ir.reference import is_valid

from .cases import SIMPLE, built, cases

plain_names = st.sampled_from(SIMPLE)
ranks = st.integers(1, 9)
microbatches = st.integers(1, 12)


def order(schedule, rank):
    """A rank's program as text, without its stage: "F0 F1 B0"."""
    return " ".join(f"{action.kind}{action.microbatch}" for action in schedule.programs[rank])


def warmup(schedule, rank):
    """Forwards before the first backward."""
    return [action.kind for action in schedule.programs[rank]].index("B")


# -- all of them -------------------------------------------------------------------------------------------------------


@given(cases())
@settings(max_examples=300)
@example(("1f1b", 9, 1, None))
@example(("1f1b", 1, 12, None))
@example(("zb-h2", 7, 3, None))
@example(("zb-v", 6, 1, None))
@example(("interleaved", 4, 9, 3))
def test_valid(case):
    schedule = built(case)
    assert (schedule.name, schedule.num_ranks, schedule.num_microbatches) == case[:3]
    assert schedule.training
    assert is_valid(schedule)
    assert check(schedule) == ()
    assert check(lower(schedule)) == ()


@given(cases())
def test_the_same_arguments_give_the_same_schedule(case):
    name, *counts = case
    one, other = built(case), built((name, *(count if count is None else np.int64(count) for count in counts)))
    assert one == other
    assert hash(one) == hash(other)
    assert str(one) == str(other)
    numbers = (n for program in other.programs for a in program for part in a.computes for n in part[1:3])
    assert {type(number) for number in numbers} == {int}


@given(cases())
def test_every_stage_meets_microbatches_in_order(case):
    """On each route, forwards among themselves, and what makes gradients for the stage before."""
    schedule = built(case)
    met = {}
    for program in schedule.programs:
        for part in (part for action in program for part in action.computes):
            route = schedule.placement.route_of(part.microbatch, schedule.num_microbatches)
            met.setdefault((part.kind.replace("B", "I"), part.stage, route), []).append(part.microbatch)
    assert all(microbatches == sorted(microbatches) for (kind, _, _), microbatches in met.items() if kind != "W")


# -- one stage per rank, whole backwards -------------------------------------------------------------------------------


@given(plain_names, ranks, microbatches)
def test_one_stage_per_rank_and_whole_backwards(name, ranks, microbatches):
    schedule = build(name, ranks, microbatches)
    assert schedule.placement == linear(ranks)
    assert all(len(program) == 2 * microbatches for program in schedule.programs)


@given(plain_names, ranks, microbatches)
def test_every_rank_meets_microbatches_in_order(name, ranks, microbatches):
    """Forwards among themselves, and backwards: so a channel between two ranks needs no tags."""
    for program in build(name, ranks, microbatches).programs:
        for kind in "FB":
            assert [action.microbatch for action in program if action.kind == kind] == [*range(microbatches)]


@given(ranks, microbatches)
def test_naive_alternates(ranks, microbatches):
    schedule = naive(ranks, microbatches)
    expected = " ".join(f"F{m} B{m}" for m in range(microbatches))
    assert {order(schedule, rank) for rank in range(ranks)} == {expected}


@given(ranks, microbatches)
def test_gpipe_goes_forward_then_backward(ranks, microbatches):
    schedule = gpipe(ranks, microbatches)
    expected = " ".join(f"{kind}{m}" for kind in "FB" for m in range(microbatches))
    assert {order(schedule, rank) for rank in range(ranks)} == {expected}


@given(ranks, microbatches)
def test_1f1b_warms_up_alternates_and_drains(ranks, microbatches):
    schedule = one_f_one_b(ranks, microbatches)
    for rank in range(ranks):
        ahead = min(ranks - rank, microbatches)  # forwards before the first backward: the warm-up's and one more
        assert warmup(schedule, rank) == ahead
        kinds = "".join(action.kind for action in schedule.programs[rank])
        assert kinds == "F" * ahead + "BF" * (microbatches - ahead) + "B" * ahead


def test_1f1b_in_full():
    assert [order(one_f_one_b(4, 5), rank) for rank in range(4)] == [
        "F0 F1 F2 F3 B0 F4 B1 B2 B3 B4",
        "F0 F1 F2 B0 F3 B1 F4 B2 B3 B4",
        "F0 F1 B0 F2 B1 F3 B2 F4 B3 B4",
        "F0 B0 F1 B1 F2 B2 F3 B3 F4 B4",
    ]


def test_fewer_microbatches_than_ranks():
    """1F1B is then GPipe on the ranks that never get to alternate."""
    schedule = one_f_one_b(4, 2)
    assert [order(schedule, rank) for rank in range(4)] == ["F0 F1 B0 B1"] * 3 + ["F0 B0 F1 B1"]
    assert schedule.programs[:3] == gpipe(4, 2).programs[:3]


@given(microbatches)
def test_one_rank_alone(microbatches):
    assert one_f_one_b(1, microbatches).programs == naive(1, microbatches).programs
    assert order(gpipe(1, microbatches), 0).startswith("F0")


@given(ranks)
def test_one_microbatch_leaves_no_choice(ranks):
    assert naive(ranks, 1).programs == gpipe(ranks, 1).programs == one_f_one_b(ranks, 1).programs


# -- arguments ---------------------------------------------------------------------------------------------------------

builders = pytest.mark.parametrize("builder", [*SCHEDULES.values()])


@builders
@pytest.mark.parametrize("wrong", [0, -1, -100])
def test_counts_below_one(builder, wrong):
    with pytest.raises(ValueError, match=f"^ranks must be at least 1; got {wrong}$"):
        builder(wrong, 4)
    with pytest.raises(ValueError, match=f"^microbatches must be at least 1; got {wrong}$"):
        builder(4, wrong)


@builders
@pytest.mark.parametrize("wrong", [True, 2.5, "4", None, [4]])
def test_counts_that_are_no_whole_numbers(builder, wrong):
    with pytest.raises(ValueError, match="^ranks must be a whole number; got ") as error:
        builder(wrong, 4)
    assert str(error.value).endswith(repr(wrong))
    with pytest.raises(ValueError, match="^microbatches must be a whole number; got ") as error:
        builder(4, wrong)
    assert str(error.value).endswith(repr(wrong))


@builders
def test_whole_floats_count(builder):
    assert builder(4.0, 8.0) == builder(4, 8)
    assert type(builder(4.0, 8.0).num_microbatches) is int


@pytest.mark.parametrize("name", ["", "pipe", "GPipe", "one_f_one_b", None])
def test_an_unknown_name_is_told_the_known_ones(name):
    with pytest.raises(ValueError) as error:
        build(name, 2, 2)
    assert repr(name) in str(error.value)
    assert all(known in str(error.value) for known in SCHEDULES)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "interleaved"])
@pytest.mark.parametrize("chunks", [1, 2])
def test_only_interleaved_takes_chunks(name, chunks):
    held = {1: "one stage", 2: "two stages"}[len(build(name, 2, 4).placement.stages_of(0))]
    with pytest.raises(ValueError, match=f"^{name} has {held} per rank: it takes no chunks$"):
        build(name, 2, 4, chunks=chunks)


def test_builders_are_public():
    assert pipelab.build is build
    assert pipelab.schedules.SCHEDULES is SCHEDULES
    assert [*SCHEDULES] == ["naive", "gpipe", "1f1b", "interleaved", "zb-h1", "zb-h2", "zb-v", "dualpipe", "dualpipe-v"]
    assert all(getattr(pipelab.schedules, builder.__name__) is builder for builder in SCHEDULES.values())
