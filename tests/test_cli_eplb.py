"""The command `eplb`, as a person and as a program meet it."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipelab.eplb import Plan, drifting, rebalance

ROOT = Path(__file__).parents[1]
SIZES = ["--replicas", "40", "--gpus", "8"]
WINDOWS = drifting(2, 3, 32, seed=0)


@pytest.fixture
def command(command):
    return partial(command, "eplb")


@pytest.fixture
def loads(tmp_path: Path) -> Path:
    path = tmp_path / "loads.csv"
    np.savetxt(path, WINDOWS[0], delimiter=",")
    return path


def test_json_is_the_plan_and_its_figures(command, loads: Path) -> None:
    status, out, err = command(loads, *SIZES, "--nodes", 2, "--groups", 4, "--policy", "refined", "--json")
    assert (status, err) == (0, "")
    expected = rebalance(WINDOWS[0], 40, 8, 2, 4, policy="refined")
    found, printed = Plan.from_json(out), json.loads(out)
    assert found.sizes == expected.sizes and found.policy == "refined"
    assert np.array_equal(found.physical_to_logical, expected.physical_to_logical)
    assert np.allclose(printed["balancedness"], expected.balancedness)
    assert np.allclose(printed["gpu_load"], expected.gpu_load)
    assert np.allclose(printed["attainable"], expected.attainable)
    assert "moves" not in printed


def test_table(command, loads: Path) -> None:
    status, out, err = command(loads, *SIZES)
    assert (status, err) == (0, "")
    assert out == f"{rebalance(WINDOWS[0], 40, 8)}\n"


@pytest.mark.parametrize("kind", ["npy", "json"])
def test_reads_the_other_kinds_of_file(command, loads: Path, kind: str) -> None:
    other = loads.with_suffix(f".{kind}")
    if kind == "npy":
        np.save(other, WINDOWS[0])
    else:
        other.write_text(json.dumps(WINDOWS[0].tolist()))
    assert command(other, *SIZES)[:2] == command(loads, *SIZES)[:2]


def test_previous_plan(command, loads: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(command(loads, *SIZES, "--policy", "refined", "--json")[1])
    np.savetxt(loads, WINDOWS[1], delimiter=",")
    old = rebalance(WINDOWS[0], 40, 8, policy="refined")
    status, out, _ = command(loads, *SIZES, "--previous", plan, "--max-moved", 0.2, "--json")
    new = rebalance(WINDOWS[1], 40, 8, policy="incremental", previous=old, max_moved=0.2)
    assert status == 0
    assert json.loads(out)["policy"] == "incremental"
    assert json.loads(out)["physical_to_logical"] == new.physical_to_logical.tolist()
    assert json.loads(out)["moves"] == new.moves(old).tolist()
    # Another policy starts afresh, and says what that moves.
    out = command(loads, *SIZES, "--previous", plan, "--policy", "greedy")[1]
    fresh = rebalance(WINDOWS[1], 40, 8)
    assert out.startswith(f"{fresh}\n{fresh.moved(old):.1%} of the slots change")


def test_picture(command, loads: Path, tmp_path: Path) -> None:
    picture, plan = tmp_path / "plan.png", tmp_path / "plan.json"
    plan.write_text(command(loads, *SIZES, "--json")[1])
    assert command(loads, *SIZES, "--previous", plan, "--plot", picture)[0] == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--replicas", "41", "--gpus", "8"], "replicas must be a multiple of gpus (8): 40 or 48; got 41"),
        (["--replicas", "24", "--gpus", "8"], "replicas must be 32 or more"),
        (["--replicas", "40", "--gpus", "0"], "gpus must be at least 1; got 0"),
        ([*SIZES, "--nodes", "3"], "gpus must be a multiple of nodes (3): 6 or 9; got 8"),
        ([*SIZES, "--groups", "5"], "experts (32) must divide into equal groups: groups 4 or 8; got 5"),
        ([*SIZES, "--policy", "incremental"], "'incremental' needs the previous plan"),
        ([*SIZES, "--policy", "best"], "invalid choice: 'best'"),
        (SIZES[:2], "the following arguments are required: --gpus"),
        ([*SIZES, "--previous", "nowhere.json"], "No such file"),
        ([*SIZES, "--max-moved", "2"], "max_moved is a share of the slots, 0 to 1; got 2.0"),
        ([*SIZES, "--plot", "nowhere/plan.png"], "nowhere/plan.png can't be written"),
    ],
)
def test_bad_arguments(command, loads: Path, arguments: list[str], says: str) -> None:
    status, out, err = command(loads, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("pipelab: ") and err.count("\n") == 1 and says in err


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("loads.csv", "1,2\n3\n", "loads.csv, line 2: 1 numbers, where the first layer has 2"),
        ("loads.csv", "1,2\n3,x\n", "loads.csv, line 2: could not convert string to float: 'x'"),
        ("loads.csv", "expert 0,expert 1\n", "loads.csv has no layers"),
        ("loads.csv", "1,nan\n", "layer 0, expert 1 has nan"),
        ("loads.csv", "1,-2\n", "layer 0, expert 1 has -2.0"),
        ("loads.csv", "1,2\n3,\x00\n", "loads.csv, line 2: could not convert string to float"),
        ("loads.json", "[[1, 2], [3]]", "must be numbers, [layers, experts]"),
        ("loads.json", "[1, 2]", "must have two axes"),
        ("loads.json", '{"weights": [[1]]}', 'has no "load"; it has weights'),
        ("loads.json", "[[1, 2", "loads.json is not JSON"),
        ("loads.npy", "hello", "loads.npy is no npy file"),
        ("loads.npy", "", "loads.npy is no npy file"),
        ("loads.txt", "1,2\n", "loads are read from .csv, .npy, .json files; got loads.txt"),
    ],
)
def test_bad_loads(command, tmp_path: Path, name: str, content: str, says: str) -> None:
    (tmp_path / name).write_text(content)
    status, out, err = command(tmp_path / name, "--replicas", 2, "--gpus", 2)
    assert (status, out) == (2, "")
    assert err.startswith("pipelab: ") and err.count("\n") == 1 and says in err


def test_bad_previous_plan(command, loads: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    for text, says in [("{}", "this is no plan in JSON"), ("[", "this is no plan in JSON")]:
        plan.write_text(text)
        status, _, err = command(loads, *SIZES, "--previous", plan)
        assert status == 2 and says in err and err.count("\n") == 1
    plan.write_text(command(loads, "--replicas", 32, "--gpus", 8, "--json")[1])
    status, _, err = command(loads, *SIZES, "--previous", plan)
    assert (status, err) == (2, "pipelab: the previous plan has 32 replicas, not 40\n")


def test_first_line_may_have_names(command, loads: Path) -> None:
    expected = command(loads, *SIZES)[1]
    loads.write_text(",".join(f"expert {number}" for number in range(32)) + "\n" + loads.read_text())
    assert command(loads, *SIZES)[1] == expected


def test_as_a_process(loads: Path) -> None:
    line = [sys.executable, "-m", "pipelab", "eplb", str(loads), *SIZES, "--json"]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert Plan.from_json(done.stdout).sizes.gpus == 8
