"""Schedule: data that can be printed, hashed, pickled, and exchanged with PyTorch as CSV."""

import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, dataclass, replace
from enum import Enum

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from pipelab.ir import Action, Schedule, check, forward_only, from_csv, linear, lower, to_csv
from pipelab.schedules import dualpipe, gpipe, one_f_one_b
from pipelab.simulator import simulate
from tests.schedules.cases import schedules as named

from .generate import valid_schedules


@given(valid_schedules())
def test_csv_round_trip(schedule):
    again = from_csv(to_csv(schedule), name=schedule.name)
    assert again.programs == schedule.programs
    assert (again.num_microbatches, again.training) == (schedule.num_microbatches, schedule.training)
    for m in range(schedule.num_microbatches):
        for s in range(schedule.num_stages):
            assert again.rank_of(s, m) == schedule.rank_of(s, m)


@given(named())
def test_a_named_schedule_comes_back_from_csv_as_the_same(schedule):
    again = from_csv(to_csv(schedule), name=schedule.name)
    assert again.placement.routes == schedule.placement.routes  # its kind may differ, as on one rank all are alike
    assert replace(again, placement=schedule.placement) == schedule


@given(valid_schedules())
def test_torch_loads_the_csv_and_writes_it_the_same(schedule):
    """The format of _PipelineScheduleRuntime._load_csv and _dump_csv, compute_only."""
    from torch.distributed.pipelining.schedules import _Action

    text = to_csv(schedule)
    rows = [[_Action.from_str(cell) for cell in line.split(",")] for line in text.splitlines()]
    assert "".join(",".join(map(str, row)) + "\n" for row in rows) == text


def test_torchs_own_writer_and_reader_take_it(tmp_path):
    import csv

    from torch.distributed.pipelining.schedules import _Action

    # As torch writes one: csv.writer, one row per rank, an empty cell where a rank idles.
    with open(tmp_path / "theirs.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([_Action.from_str(text) for text in ("0F0", "0F1", "0B0", "0B1")])
        writer.writerow([None, *(_Action.from_str(text) for text in ("1F0", "1B0", "1F1", "1B1"))])
    read = from_csv((tmp_path / "theirs.csv").read_text())
    assert [str(action) for action in read.programs[1]] == ["1F0", "1B0", "1F1", "1B1"]
    assert read.placement == linear(2)


def test_a_lowered_schedule_writes_and_reads_too():
    lowered = lower(gpipe(3, 2))
    assert from_csv(to_csv(lowered), name=lowered.name) == lowered


@pytest.mark.parametrize(
    ("text", "line", "cell"),
    [("0F0,0B0\n1F0,1X0", 2, "1X0"), ("\n\n0F0,oops", 3, "oops"), ("0F0\r\n1F0\r\n2F0;2B0\r\n", 3, "2F0;2B0")],
)
def test_an_error_names_line_and_cell(text, line, cell):
    with pytest.raises(ValueError) as error:
        from_csv(text)
    assert f"line {line}: '{cell}'" in str(error.value)


@pytest.mark.parametrize("text", ["", "\n\n", ",,,\n"])
def test_csv_without_actions_is_refused(text):
    with pytest.raises(ValueError, match="no action found"):
        from_csv(text)


def test_csv_whose_routes_fit_no_placement_is_refused():
    alternating = "0F0,1F1,1B1,0B0,0F2,0B2\n1F0,0F1,0B1,1B0,1F2,1B2"
    with pytest.raises(ValueError, match="fit no placement"):
        from_csv(alternating)


@pytest.mark.parametrize("slip", ["0F1000000000", "1000000000F0", "0F100000000000000000000"])
def test_csv_with_a_number_out_of_all_proportion_is_refused_at_once(slip):
    with pytest.raises(ValueError, match=f"rank 0 has {slip}: 4 actions can't be for so many"):
        from_csv(f"{slip},0B0\n1F0,1B0")


@pytest.mark.parametrize("use", [check, lower, simulate])
def test_what_is_no_schedule_is_refused(use):
    with pytest.raises(ValueError, match=r"must be a Schedule, such as gpipe\(4, 8\); got '1f1b'"):
        use("1f1b")


def test_it_prints_as_a_table():
    assert str(one_f_one_b(2, 3)).splitlines() == [
        "1f1b: 2 ranks, 2 stages, 3 micro-batches",
        "rank 0  0F0 0F1 0B0 0F2 0B1 0B2",
        "rank 1  1F0 1B0 1F1 1B1 1F2 1B2",
    ]


def test_equal_schedules_are_one_in_a_set_and_different_ones_are_two():
    assert len({gpipe(2, 2), gpipe(2, 2), gpipe(2, 3), one_f_one_b(2, 2)}) == 3


def test_it_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        gpipe(2, 2).name = "other"


def test_pickled_it_is_equal_in_a_process_whose_hashes_differ():
    schedule = one_f_one_b(3, 4)
    hash(schedule)  # cached; the other process must not believe it
    program = (
        "import pickle, sys; from pipelab.schedules import one_f_one_b;"
        "got = pickle.load(sys.stdin.buffer); assert got in {one_f_one_b(3, 4)}"
    )
    subprocess.run([sys.executable, "-c", program], input=pickle.dumps(schedule), check=True, timeout=60)


@pytest.mark.parametrize("wrong", [0, -3, 2.5, None, "4"])
def test_microbatches_that_are_no_count_are_named(wrong):
    with pytest.raises(ValueError, match=f"num_microbatches .*{wrong}"):
        Schedule("mine", linear(1), wrong, ((Action("F", 0, 0),),), training=False)


def test_one_program_per_rank():
    with pytest.raises(ValueError, match="2 ranks need 2 programs; got 1"):
        Schedule("mine", linear(2), 1, ((Action("F", 0, 0),),))


@pytest.mark.parametrize(("stranger", "kind"), [("0F0", "str"), (("F", 0, 0), "tuple"), (None, "NoneType")])
def test_what_is_no_action_has_no_place_in_a_program(stranger, kind):
    with pytest.raises(ValueError, match=f"programs hold Actions .*; got {kind}"):
        Schedule("mine", linear(1), 1, ((Action("F", 0, 0), stranger),))


@pytest.mark.parametrize("number", [float, np.int64, np.float64, torch.tensor])
def test_whole_numbers_of_any_kind_are_pythons(number):
    def other(action):
        parts = tuple(map(other, action.parts))
        return Action(action.kind, number(action.stage), number(action.microbatch), parts)

    schedule = dualpipe(2, 4)
    again = replace(schedule, programs=[map(other, program) for program in schedule.programs])
    assert again == schedule
    assert str(again) == str(schedule)
    assert check(again) == ()
    actions = [part for program in again.programs for action in program for part in (action, *action.parts)]
    assert {type(n) for action in actions for n in (action.stage, action.microbatch)} == {int}


def test_programs_given_as_lists_are_the_same_schedule():
    schedule = gpipe(2, 2)
    assert replace(schedule, programs=[list(program) for program in schedule.programs]) == schedule


@given(valid_schedules(), st.booleans())
def test_forward_only_keeps_all_forwards_in_their_order_and_is_valid(schedule, first_lowered):
    stripped = forward_only(lower(schedule) if first_lowered else schedule)
    assert check(stripped) == ()
    assert not stripped.training
    for program, whole in zip(stripped.programs, schedule.programs, strict=True):
        forwards = [part for action in whole for part in action.computes if part.kind == "F"]
        assert [action for action in program if action.computes] == forwards
    assert forward_only(stripped) is stripped


def test_a_pair_prints_without_its_long_suffix():
    schedule = from_csv("0F0,0F1,(0F2;0B0)OVERLAP_F_B,0B1,0B2")
    assert str(schedule).splitlines()[1] == "rank 0        0F0       0F1 (0F2;0B0)       0B1       0B2"
    assert from_csv(to_csv(schedule)) == schedule


Kind = Enum("Kind", {"FORWARD": "F", "BACKWARD": "B"}, type=str)


@pytest.mark.parametrize("kinds", [Kind, np.array(["F", "B"])])
def test_kinds_may_be_texts_of_any_library(kinds):
    schedule = Schedule("mine", linear(2), 1, [[Action(kind, s, 0) for kind in kinds] for s in range(2)])
    assert schedule == Schedule("mine", linear(2), 1, [[Action(kind, s, 0) for kind in "FB"] for s in range(2)])
    assert (check(schedule), to_csv(schedule)) == ((), "0F0,0B0\n1F0,1B0\n")
    assert {type(action.kind) for program in schedule.programs for action in program} == {str}


def test_parts_may_be_a_list():
    pair = Action.parse("(0F1;0B0)OVERLAP_F_B")
    schedule = Schedule("mine", linear(1), 2, [[pair._replace(parts=[*pair.parts])]])
    assert schedule.programs == ((pair,),)
    with pytest.raises(ValueError, match="programs hold Actions .*; got str"):
        Schedule("mine", linear(1), 2, [[pair._replace(parts=("0F1", "0B0"))]])


def test_programs_may_be_arrays_of_actions():
    programs = np.empty((1, 2), dtype=object)
    programs[0, 0], programs[0, 1] = Action("F", 0, 0), Action("B", 0, 0)
    assert check(Schedule("mine", linear(1), 1, programs)) == ()


@dataclass(frozen=True)
class Signed(Schedule):
    author: str = ""


class Sealed(Schedule):
    def __post_init__(self):
        super().__post_init__()
        assert not check(self)


def test_a_schedule_may_have_more_fields():
    mine = Signed("mine", linear(1), 1.0, [[Action("F", 0, 0), Action("B", 0, 0)]], author="me")
    assert (mine.num_microbatches, mine.programs) == (1, ((Action("F", 0, 0), Action("B", 0, 0)),))
    assert (check(mine), pickle.loads(pickle.dumps(mine)), hash(mine)) == ((), mine, hash(replace(mine)))
    assert mine != replace(mine, author="somebody else")
    with pytest.raises(ValueError, match="2 ranks need 2 programs; got 1"):
        replace(mine, placement=linear(2))


def test_a_schedule_of_another_class_is_another():
    plain = gpipe(2, 2)
    sealed = Sealed(plain.name, plain.placement, plain.num_microbatches, plain.programs)
    assert sealed != plain
    with pytest.raises(AssertionError):
        replace(sealed, num_microbatches=3)
