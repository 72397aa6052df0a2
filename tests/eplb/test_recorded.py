"""Recorded loads: what the files hold, and that the script beside them makes such files."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from pipelab.eplb import RECORDINGS, RecordedLoads, dead, recorded_loads, skew
from pipelab.eplb.loads.recorded import TOP_K, parse

FOLDER = Path(__file__).parents[2] / "data" / "expert_loads"
EACH = pytest.mark.parametrize("balance", RECORDINGS)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """data/expert_loads/record.py, with a model that is as small as can be."""
    spec = importlib.util.spec_from_file_location("record_expert_loads", FOLDER / "record.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    small = {"WIDTH": 16, "HIDDEN": 16, "BATCH": 8, "MEASURED": 1, "SERVED": 1, "STAY": 2, "WINDOW": 2}
    vars(module).update(small)
    return module


@EACH
def test_shapes_and_sums(balance: str) -> None:
    found = recorded_loads(balance)
    assert found.balance == balance and found.windows.shape == (40, 4, 16) and found.losses.shape == (40,)
    assert found.windows.dtype == found.serving.dtype == np.int64
    steps, tokens = 10, 32 * 64
    assert (found.windows.sum(axis=-1) == steps * tokens * found.top_k).all()
    assert {each.shape for each in found.domains.values()} == {(4, 16)}
    assert len({int(total) for each in found.domains.values() for total in each.sum(axis=-1)}) == 1
    assert len(found.serving) == len(found.serving_kinds)
    assert list(dict.fromkeys(found.serving_kinds)) == list(found.domains) == list(found.domain_losses)
    assert len(np.unique(found.serving.sum(axis=-1))) == 1


@EACH
def test_the_model_has_learnt(balance: str) -> None:
    found = recorded_loads(balance)
    assert found.losses[0] < np.log(256) and found.losses[-4:].mean() < 0.6 * found.losses[0]
    assert max(found.domain_losses.values()) < 0.6 * np.log(256)


def test_balancing_balances() -> None:
    last = {balance: skew(recorded_loads(balance).windows[-8:].sum(axis=0)).mean() for balance in RECORDINGS}
    assert last["none"] > 2 * last["auxiliary"] and last["none"] > 2 * last["bias"]


def test_without_balancing_some_experts_are_dead() -> None:
    found = {balance: int(dead(recorded_loads(balance).windows[-8:].sum(axis=0)).sum()) for balance in RECORDINGS}
    assert found["none"] >= 4 and found["auxiliary"] == found["bias"] == 0


@EACH
def test_one_kind_of_text_is_more_uneven_than_all_together(balance: str) -> None:
    found = recorded_loads(balance)
    together = skew(found.windows[-8:].sum(axis=0)).mean()
    assert max(skew(load).mean() for load in found.domains.values()) > 1.3 * together


@EACH
def test_serving_drifts(balance: str) -> None:
    """Windows of one kind are alike; of different kinds they are not."""
    found = recorded_loads(balance)
    share = found.serving / found.serving.sum(axis=-1, keepdims=True)

    def apart(a: int, b: int) -> float:
        return float(np.abs(share[a] - share[b]).sum(axis=-1).mean())

    starts = [found.serving_kinds.index(kind) for kind in found.domains]
    assert max(apart(start, start + 1) for start in starts) < min(apart(a, b) for a in starts for b in starts if a < b)


def test_arrays_cannot_be_changed() -> None:
    found = recorded_loads("none")
    for array in (found.windows, found.losses, found.serving, *found.domains.values()):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_refuses() -> None:
    with pytest.raises(ValueError, match="'none', 'auxiliary', 'bias'; got 'nothing'"):
        recorded_loads("nothing")


def recording(script: ModuleType, path: Path, *arguments: str) -> RecordedLoads:
    threads = script.torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["record.py", *arguments, "--steps", "4", "--out", str(path)])
        try:
            script.main()
        finally:
            script.torch.set_num_threads(threads)
    return parse(path.read_text(), "none")


@EACH
def test_the_script_makes_such_a_file_again(script: ModuleType, balance: str, tmp_path: Path) -> None:
    made = recording(script, tmp_path / "made.csv", "--balance", balance)
    heads = [next(csv.reader(path.open())) for path in (tmp_path / "made.csv", FOLDER / f"{balance}.csv")]
    assert heads[0] == heads[1]
    kept = recorded_loads(balance)
    assert made.windows.shape == (2, *kept.windows.shape[1:]) and list(made.domains) == list(kept.domains)
    assert (made.windows.sum(axis=-1) == script.WINDOW * script.BATCH * script.LENGTH * TOP_K).all()
    assert script.TOP_K == TOP_K
    assert list(script.STRENGTH) == list(RECORDINGS)


def test_the_seed_decides(script: ModuleType, tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.csv" for number in range(3)]
    for path, seed in zip(paths, ("1", "1", "2"), strict=True):
        recording(script, path, "--balance", "bias", "--seed", seed)
    first, again, other = (path.read_text() for path in paths)
    assert first == again != other


def test_kinds_are_what_they_are_called(script: ModuleType) -> None:
    kinds = script.kinds()
    assert b'"""' not in kinds["docstrings"] and kinds["docstrings"].count(b"import ") < 200
    assert kinds["code"].count(b"    return ") > 1000 and kinds["code"].count(b"\n#") < 10  # in strings
    assert kinds["tables"].count(b"LATIN SMALL LETTER A") > 50
    assert kinds["manual"].count(b"expression") > 100
    assert kinds["bytecode"].count(0) > len(kinds["bytecode"]) / 4  # every instruction has an argument, mostly 0


def test_what_the_model_is_measured_on_it_was_not_trained_on(script: ModuleType) -> None:
    generator = script.torch.Generator().manual_seed(0)
    for kind, text in script.kinds().items():
        border = len(text) - len(text) // script.HELD_OUT
        for held_out, part in ((True, text[border:]), (False, text[:border])):
            for passage in script.passages(kind, 20, generator, held_out=held_out).tolist():
                assert bytes(passage) in part


def test_the_script_says_what_is_wrong() -> None:
    asked = subprocess.run([sys.executable, FOLDER / "record.py", "--steps", "7"], capture_output=True, text=True)
    assert asked.returncode == 2 and "--steps must be a multiple of 10" in asked.stderr


def test_skew_and_dead_along_the_last_axis() -> None:
    load = recorded_loads("none").windows
    assert skew(load).shape == load.shape[:-1] and dead(load).shape == load.shape
    assert skew(load)[3, 2] == load[3, 2].max() / load[3, 2].mean()
    assert not dead(np.zeros((2, 4))).any()
