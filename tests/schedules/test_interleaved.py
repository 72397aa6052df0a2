"""Interleaved 1F1B: Megatron's order where Megatron has one, and no deadlock and no larger bubble anywhere else."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from pipelab import Costs, check, simulate
from pipelab.ir import Action, Schedule, looped
from pipelab.schedules import interleaved_1f1b, one_f_one_b
from pipelab.schedules.interleaved import groups_of

from .cases import schedules

ranks, microbatches, chunks = st.integers(1, 8), st.integers(1, 30), st.integers(1, 4)


def order(schedule, rank):
    return " ".join(map(str, schedule.programs[rank]))


def test_by_hand():
    """Two ranks, four micro-batches, two stages a rank: the first two through both stages before the next two."""
    schedule = interleaved_1f1b(2, 4, chunks=2)
    assert order(schedule, 0) == "0F0 0F1 2F0 2F1 0F2 2B0 0F3 2B1 2F2 0B0 2F3 0B1 2B2 2B3 0B2 0B3"
    assert order(schedule, 1) == "1F0 1F1 3F0 3B0 3F1 3B1 1F2 1B0 1F3 1B1 3F2 3B2 3F3 3B3 1B2 1B3"


@given(ranks, microbatches)
def test_groups(ranks, microbatches):
    groups = groups_of(ranks, microbatches)
    sizes = [len(group) for group in groups]
    assert [m for group in groups for m in group] == [*range(microbatches)]
    assert sizes == sorted(sizes, reverse=True)  # a larger group after a smaller one could deadlock
    assert sizes[0] - sizes[-1] <= 1
    assert len(groups) == 1 or sizes[-1] >= ranks
    if microbatches % ranks == 0:
        assert set(sizes) == {ranks}  # as in Megatron-LM


@given(ranks, microbatches, chunks, st.integers(0, 5), st.integers(0, 5), st.integers(0, 5))
def test_its_bubble_is_one_f_one_bs_of_shorter_stages_for_any_number_of_microbatches(p, m, v, f, i, w):
    timeline = simulate(interleaved_1f1b(p, m, chunks=v), Costs(f, i, w))
    rounds = (v - 1) * max(0, p - m)  # a group of less than P cannot fill the way round the ranks
    assert timeline.idle == ((p - 1 + rounds) * (f + i + w),) * p


@given(ranks, microbatches)
def test_one_chunk_takes_one_f_one_bs_time(p, m):
    assert simulate(interleaved_1f1b(p, m, chunks=1)).makespan == simulate(one_f_one_b(p, m)).makespan


@given(schedules("interleaved"))
def test_warm_up_one_by_one_drain(schedule):
    chunks = schedule.num_stages // schedule.num_ranks
    total = chunks * schedule.num_microbatches
    group = len(groups_of(schedule.num_ranks, schedule.num_microbatches)[0])
    for rank, program in enumerate(schedule.programs):
        ahead = min((chunks - 1) * group + 2 * (schedule.num_ranks - 1 - rank) + 1, total)
        kinds = "".join(action.kind for action in program)
        assert kinds == "F" * ahead + "BF" * (total - ahead) + "B" * ahead


@given(schedules("interleaved"))
def test_backward_goes_through_the_chunks_the_other_way(schedule):
    for program in schedule.programs:
        first, last = ([action.stage for action in program if action.kind == kind] for kind in "FB")
        assert sorted(set(first)) == [*dict.fromkeys(first)]
        assert sorted(set(last), reverse=True) == [*dict.fromkeys(last)]


def with_groups(p, m, v, groups):
    """The same rules, but other groups of micro-batches."""
    programs = []
    for rank in range(p):
        stages = range(rank, p * v, p)
        forward = [Action("F", s, m) for group in groups for s in stages for m in group]
        backward = [Action("B", s, m) for group in groups for s in reversed(stages) for m in group]
        ahead = min((v - 1) * len(groups[0]) + 2 * (p - 1 - rank), m * v)
        steady = [action for pair in zip(forward[ahead:], backward, strict=False) for action in pair]
        programs.append((*forward[:ahead], *steady, *backward[m * v - ahead :]))
    return Schedule("mine", looped(p, v), m, tuple(programs))


def test_why_the_groups_are_what_they_are():
    """Not groups of P and the rest in a last one, as several published generators do; nor the smaller group first."""
    assert check(with_groups(4, 9, 3, [range(4), range(4, 8), range(8, 9)]))[0].code == "deadlock"
    assert check(with_groups(4, 9, 2, [range(4), range(4, 9)]))[0].code == "order"
    rest_last = with_groups(4, 9, 2, [range(4), range(4, 8), range(8, 9)])
    assert simulate(rest_last).makespan > simulate(interleaved_1f1b(4, 9, chunks=2)).makespan
    assert with_groups(4, 9, 2, groups_of(4, 9)).programs == interleaved_1f1b(4, 9, chunks=2).programs


@pytest.mark.parametrize(
    ("wrong", "said"), [(0, "at least 1; got 0"), (1.5, "a whole number; got 1.5"), (None, "None")]
)
def test_chunks_that_are_none(wrong, said):
    with pytest.raises(ValueError, match=f"chunks must be .*{said}"):
        interleaved_1f1b(2, 4, chunks=wrong)
