"""The front door: seven nouns, a few verbs and the rooms, and what else once stood there says where it is now."""

import re
import subprocess
import sys
import warnings
from functools import reduce
from importlib import import_module

import pytest

import pipelab
from docs.house import PACKAGE, ROOT

NOUNS = {"Action", "Placement", "Schedule", "Costs", "Timeline", "Run", "Plan"}
VERBS = {"build", "theory", "check", "simulate", "compare_schedules", "estimate_step", "run", "plot", "compare"}
VERBS |= {"rebalance", "serve"}
ROOMS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")} | {"table"}
HEAVY = {"torch", "matplotlib", "ipywidgets"}


def python(*arguments: str) -> str:
    return subprocess.check_output([sys.executable, *arguments], cwd=ROOT, text=True)


def test_its_names():
    assert set(pipelab.__all__) == NOUNS | VERBS
    assert set(dir(pipelab)) == NOUNS | VERBS | ROOMS | {"__version__"}


def test_rooms_are_attributes():
    """In a new interpreter, which has imported none of them, and where a warning is an error."""
    code = (
        f"import pipelab, sys; print(all(getattr(pipelab, room) is sys.modules['pipelab.' + room] for room in {ROOMS}))"
    )
    assert python("-W", "error", "-c", code) == "True\n"
    with pytest.raises(AttributeError, match="^module 'pipelab' has no attribute 'rooms'$"):
        _ = pipelab.rooms


def test_a_star_brings_no_rooms():
    names: dict[str, object] = {}
    exec("from pipelab import *", names)
    assert {name for name in names if name != "__builtins__"} == NOUNS | VERBS


def test_rooms_are_there_before_torch_is():
    """An attribute is looked at, as a notebook's completion does, without seconds of waiting."""
    code = f"import pipelab, sys; [getattr(pipelab, room) for room in {ROOMS}]; print({HEAVY} & set(sys.modules))"
    assert python("-c", code) == "set()\n"


def test_type_checkers_know_each_name(tmp_path):
    names = sorted(NOUNS | VERBS | {f"{room}.{name}" for room in ROOMS for name in _some_of(room)})
    file = tmp_path / "reveal.py"
    file.write_text("\n".join(["import pipelab", *(f"reveal_type(pipelab.{name})" for name in names)]))
    said = python("-m", "mypy", "--config-file", "pyproject.toml", str(file))
    types = re.findall(r'Revealed type is "(.*)"', said)
    assert [name for name, known in zip(names, types, strict=True) if known == "Any"] == []


def _some_of(room: str) -> list[str]:
    module = import_module(f"pipelab.{room}")
    return getattr(module, "__all__", [name for name in ("Table",) if hasattr(module, name)])


@pytest.mark.parametrize("old", sorted(pipelab.RENAMED))
def test_an_old_name_says_its_new_one(old):
    new = pipelab.RENAMED[old]
    with pytest.warns(DeprecationWarning) as said:
        thing = getattr(pipelab, old)
    assert [str(each.message) for each in said] == [f"pipelab.{old} is now pipelab.{new}"]
    assert thing is reduce(getattr, new.split("."), pipelab)
    assert old not in dir(pipelab)


def test_the_warning_names_the_line_that_says_the_old_name():
    for code in (
        "\n\nfrom pipelab import gpipe",
        "import pipelab\n\npipelab.gpipe",
        "\n\nfrom pipelab.moe import serve",
        "import pipelab\n\npipelab.show.step_through",
    ):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            exec(compile(code, "lesson.py", "exec"), {})
        assert {(each.filename, each.lineno) for each in said} == {("lesson.py", 3)}
