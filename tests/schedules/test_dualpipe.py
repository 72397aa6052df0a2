"""DualPipe and DualPipeV: DeepSeek's order, rank by rank, and what their papers promise."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from pipelab import Costs, Schedule, simulate
from pipelab.ir import bidirectional, from_csv, to_csv, v_shape
from pipelab.schedules import dualpipe, dualpipe_v

from . import deepseek
from .cases import schedules

either = schedules("dualpipe", "dualpipe-v", max_ranks=8, max_microbatches=20)


def actions(schedule: Schedule, rank: int) -> list[str]:
    return [str(action) for action in schedule.programs[rank]]


@given(schedules("dualpipe", max_ranks=10, max_microbatches=30))
def test_deepseeks_order_of_dualpipe(schedule):
    assert to_csv(schedule).splitlines() == deepseek.dualpipe(schedule.num_ranks, schedule.num_microbatches)


@given(schedules("dualpipe-v", max_ranks=8, max_microbatches=20))
def test_deepseeks_order_of_dualpipe_v(schedule):
    assert to_csv(schedule).splitlines() == deepseek.dualpipe_v(schedule.num_ranks, schedule.num_microbatches)


def test_dualpipe_by_hand():
    """Four ranks, eight micro-batches: a rank at the end and one in the middle, phase by phase."""
    schedule = dualpipe(4, 8)
    end = [
        *("0F0", "0F1"),  # 1
        *("0F2", "3F4"),  # 2
        *("3I4", "3W4", "3F5"),  # 3
        *("(0F3;3B5)OVERLAP_F_B", "(3F6;0B0)OVERLAP_F_B"),  # 4
        *("3B6", "(3F7;0B1)OVERLAP_F_B"),  # 5
        *("3B7", "0I2"),  # 6
        *("0W2", "0I3"),  # 7
        *("0W3",),  # 8
    ]
    middle = [
        *("1F0", "2F4", "1F1", "2F5"),  # 2
        *("1F2", "2B4", "(2F6;1B0)OVERLAP_F_B"),  # 4
        *("(1F3;2B5)OVERLAP_F_B", "(2F7;1B1)OVERLAP_F_B"),
        *("2B6", "1B2", "2I7", "1I3"),  # 6
        *("2W7", "1W3"),  # 8
    ]
    assert actions(schedule, 0) == end
    assert actions(schedule, 1) == middle


@given(schedules("dualpipe", max_ranks=8, max_microbatches=20))
def test_the_second_half_of_the_ranks_mirrors_the_first(schedule):
    """The same stages and kinds; the micro-batches of the other direction."""
    half = schedule.num_microbatches // 2

    def mirrored(action):
        parts = tuple(mirrored(part) for part in action.parts)
        return action._replace(microbatch=(action.microbatch + half) % schedule.num_microbatches, parts=parts)

    for program, opposite in zip(schedule.programs, reversed(schedule.programs), strict=True):
        assert tuple(map(mirrored, program)) == opposite


@given(schedules("dualpipe-v", max_ranks=6, max_microbatches=16))
def test_dualpipe_v_is_the_first_half_of_dualpipe(schedule):
    """For twice the ranks and micro-batches, where what comes from the other half counts on from M."""
    ranks, microbatches = schedule.num_ranks, schedule.num_microbatches

    def folded(action):
        parts = tuple(folded(part) for part in action.parts)
        return action._replace(microbatch=action.microbatch % microbatches, parts=parts)

    whole = dualpipe(2 * ranks, 2 * microbatches)
    assert tuple(tuple(map(folded, program)) for program in whole.programs[:ranks]) == schedule.programs
    assert simulate(schedule).makespan == simulate(whole).makespan


@given(either)
def test_a_pair_is_a_forward_one_way_and_a_backward_the_other(schedule):
    for program in schedule.programs:
        for action in program:
            if action.parts:
                forward, backward = action.parts
                assert (forward.kind, backward.kind) == ("F", "B")
                assert forward.stage + backward.stage == schedule.num_stages - 1


@given(either)
def test_half_of_the_backwards_without_a_forward_are_split(schedule):
    """Of a rank's drain, that is of phases 6 and 7, and of phase 3 every one."""
    half = schedule.num_stages // 2
    for rank, program in enumerate(schedule.programs):
        depth = min(rank, schedule.num_ranks - 1 - rank) if schedule.name == "dualpipe" else rank
        kinds = [action.kind for action in program]
        last_forward = max(i for i, action in enumerate(program) if action.computes[0].kind == "F")
        drain = [kind for kind in kinds[last_forward + 1 :] if kind != "W"]
        assert drain == ["B"] * (depth + 1) + ["I"] * half
        assert kinds[: last_forward + 1].count("I") == half - 1 - depth


@given(either)
def test_weight_gradients_are_done_in_the_order_in_which_they_were_put_off(schedule):
    for program in schedule.programs:
        halves = {kind: [action[1:3] for action in program if action.kind == kind] for kind in "IW"}
        assert halves["W"] == halves["I"]


@given(either)
def test_activations(schedule):
    """P+1 of DualPipe, 2P+1 of DualPipeV: one more than stages."""
    assert simulate(schedule).peak_activations == (schedule.num_stages + 1,) * schedule.num_ranks


def test_placements():
    assert dualpipe(4, 8).placement == bidirectional(4)
    assert dualpipe_v(4, 8).placement == v_shape(4)
    assert [dualpipe(4, 8).placement.stages_of(rank) for rank in range(4)] == [(0, 3), (1, 2), (2, 1), (3, 0)]


@pytest.mark.parametrize(
    ("ranks", "microbatches", "unit", "overlapped"),
    [(4, 8, 26, Fraction(228, 10)), (8, 20, 66, Fraction(548, 10)), (2, 4, 12, Fraction(112, 10))],
)
def test_known_makespans(ranks, microbatches, unit, overlapped):
    schedule = dualpipe(ranks, microbatches)
    assert simulate(schedule).makespan == unit
    assert simulate(schedule, Costs(overlapped=Fraction(22, 10))).makespan == overlapped


# -- sizes that they are not made for ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("ranks", "nearest"), [(1, "2"), (3, "2 or 4"), (7, "6 or 8")])
def test_an_odd_number_of_ranks(ranks, nearest):
    with pytest.raises(ValueError) as error:
        dualpipe(ranks, 40)
    assert str(error.value) == (
        f"DualPipe needs an even number of ranks (the second half of them mirrors the first): {nearest}; got {ranks}"
    )


@pytest.mark.parametrize(("microbatches", "nearest"), [(9, "8 or 10"), (21, "20 or 22")])
def test_an_odd_number_of_microbatches(microbatches, nearest):
    with pytest.raises(ValueError) as error:
        dualpipe(4, microbatches)
    assert str(error.value) == (
        f"DualPipe needs an even number of micro-batches (as many go up as down): {nearest}; got {microbatches}"
    )


@pytest.mark.parametrize(("builder", "name"), [(dualpipe, "DualPipe"), (dualpipe_v, "DualPipeV")])
@pytest.mark.parametrize("microbatches", [1, 4, 7])
def test_too_few_microbatches(builder, name, microbatches):
    with pytest.raises(ValueError) as error:
        builder(4, microbatches)
    assert str(error.value) == (
        f"{name} needs at least 8 micro-batches for 4 ranks (2P, or no rank gets to its steady phase); "
        f"got {microbatches}"
    )
    builder(4, 8)


@given(st.integers(1, 9), st.integers(1, 24))
def test_what_a_message_proposes_is_taken(ranks, microbatches):
    """Following the messages, one after the other, leads to a schedule."""
    for _ in range(3):
        try:
            schedule = dualpipe(ranks, microbatches)
        except ValueError as error:
            text = str(error)
            proposed = int(text.split("at least " if "at least" in text else "): ")[1].split()[0].rstrip(";"))
            if "number of ranks" in text:
                ranks = proposed
            else:
                microbatches = proposed
        else:
            break
    assert from_csv(to_csv(schedule), name="dualpipe").programs == schedule.programs
