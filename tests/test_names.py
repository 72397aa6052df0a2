"""Names: each means one thing, wherever it stands, and says by an example what it is for."""

import ast
import doctest
import inspect
import re
from collections import defaultdict
from importlib import import_module
from pathlib import Path

import pytest

import pipelab
from docs.house import PACKAGE, modules

ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
PUBLIC = sorted({(room, name) for room in ROOMS for name in getattr(import_module(f"pipelab.{room}"), "__all__", ())})
THINGS = {(room, name): getattr(import_module(f"pipelab.{room}"), name) for room, name in PUBLIC}
# What a constant is stands in a comment beside it.
CLASSES_AND_FUNCTIONS = [each for each, thing in THINGS.items() if inspect.isclass(thing) or inspect.isfunction(thing)]
FUNCTIONS = [each for each in CLASSES_AND_FUNCTIONS if inspect.isfunction(THINGS[each])]


def twice(places: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: where for name, where in places.items() if len(where) > 1}


def test_no_module_name_is_there_twice():
    places = defaultdict(list)
    for path in modules().values():
        inside = path.relative_to(PACKAGE)
        if path.stem not in ("__init__", "base") and inside.parent != Path("schedules"):
            places[path.stem].append(str(inside))
    assert not twice(places)


def test_no_public_class_name_is_there_twice():
    places = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    assert not twice(places)


def test_no_room_is_named_as_a_function():
    names = {*pipelab.__all__, *(name for _, name in PUBLIC)}
    assert not names & set(ROOMS)


def test_a_name_is_that_of_one_thing_in_all_rooms():
    things = defaultdict(list)
    for room, name in PUBLIC:
        thing = getattr(import_module(f"pipelab.{room}"), name)
        if not any(thing is other for other, _ in things[name]):
            things[name].append((thing, room))
    assert not {name: [room for _, room in found] for name, found in things.items() if len(found) > 1}


def test_the_front_door_names_what_rooms_name():
    for name in pipelab.__all__:
        (thing,) = {id(THINGS[room, it]): THINGS[room, it] for room, it in PUBLIC if it == name}.values()
        assert getattr(pipelab, name) is thing


@pytest.mark.parametrize("public", CLASSES_AND_FUNCTIONS, ids=".".join)
def test_every_public_name_has_an_example(public):
    found = doctest.DocTestFinder(exclude_empty=True).find(THINGS[public], public[1])
    # tests/test_docstrings.py runs them.
    assert any(doctest.SKIP not in each.options for test in found for each in test.examples)


@pytest.mark.parametrize("public", FUNCTIONS, ids=".".join)
def test_parameters_are_told_one_by_one(public):
    """A public function's docstring lists all its parameters, in the form that numpydoc reads."""
    parameters = [name for name in inspect.signature(THINGS[public]).parameters if not name.startswith("_")]
    text = inspect.getdoc(THINGS[public]) or ""
    section = re.search(r"^Parameters\n-{10}\n(.*?)(?=\n\n\w[^\n]*\n-{3,}\n|\Z)", text, re.M | re.S)
    told = re.findall(r"^(\S[^:\n]*?) : \S", section[1], re.M) if section else []
    assert [each.lstrip("*") for line in told for each in line.split(", ")] == parameters
