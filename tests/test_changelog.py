"""CHANGELOG.md: its tables are true. Every new name is there, and no old one is, but for those that warn."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import pipelab
from pipelab import moe, show

TEXT = (Path(__file__).parents[1] / "CHANGELOG.md").read_text(encoding="utf-8")
NEWEST = TEXT[TEXT.index("\n## ") : TEXT.index("\n## 0.1.0")]


def tables() -> dict[str, list[tuple[str, list[str]]]]:
    """What stands above a table -> its rows: an old name and the new ones."""
    found: dict[str, list[tuple[str, list[str]]]] = {}
    for above, table in re.findall(r"([^\n]+)\n\n(\| (?:after )?0\.1\.0 [^\n]*\n(?:\|[^\n]*\n)+)", NEWEST):
        rows = [re.findall(r"`([\w.]+)`", line) for line in table.splitlines()[2:]]
        found[above] = [(old, new) for old, *new in rows]
    return found


TABLES = tables()
FRONT = [row for above, rows in TABLES.items() if "front door" in above for row in rows]
WARN = [row for above, rows in TABLES.items() if "in a room" in above for row in rows]
MODULES = [row for above, rows in TABLES.items() if "memory_plots" in above for row in rows]
NAMES = [row for rows in TABLES.values() for row in rows if row not in FRONT + WARN + MODULES]


def resolve(name: str) -> Any:
    """What a dotted name stands for: a module, what is in one, or what a class has. AttributeError: it isn't there."""
    path, *rest = name.split(".")
    thing: Any = import_module(path)
    for left, part in zip(range(len(rest) - 1, -1, -1), rest, strict=True):
        path = f"{path}.{part}"
        if isinstance(thing, ModuleType) and _is_module(path):
            module = import_module(path)
            thing = module if left else getattr(thing, part)  # which may be a schedule's builder, named as its file
        elif isinstance(thing, type) and part in thing.__annotations__:  # of each instance
            thing = thing.__annotations__[part]
        else:
            thing = getattr(thing, part)
    return thing


def _is_module(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # what should hold it is none
        return False


def test_there_are_tables():
    assert len(TABLES) == 7
    assert len(MODULES) > 50
    assert len(NAMES) > 50


@pytest.mark.parametrize(("old", "new"), FRONT + WARN)
def test_an_old_name_that_was_shown_warns(old, new):
    with pytest.warns(DeprecationWarning, match="is now"):
        assert resolve(old) is resolve(*new)


def test_all_deprecated_names_are_told():
    told = {old.removeprefix("pipelab."): new[0].removeprefix("pipelab.") for old, new in FRONT}
    assert told == pipelab.RENAMED
    rooms = {
        f"pipelab.{room.__name__.partition('.')[2]}.{old}": f"pipelab.{new}"
        for room in (moe, show)
        for old, new in room.RENAMED.items()
    }
    assert {old: new[0] for old, new in WARN} == rooms


@pytest.mark.parametrize(("old", "new"), NAMES)
def test_a_name_is_where_it_is_said_to_be(old, new):
    for name in new:
        resolve(name)
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        resolve(old)


@pytest.mark.parametrize(("old", "new"), MODULES)
def test_a_module_is_where_it_is_said_to_be(old, new):
    assert not _is_module(old)
    assert new
    assert all(map(_is_module, new))


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(pipelab(?:\.\w+)+)[`(]", re.sub(r"\|.*\|", "", NEWEST)))))
def test_a_name_in_the_prose_is_there_unless_it_was_removed(name):
    removed = name in NEWEST[NEWEST.index("### Removed") : NEWEST.index("### Old names")]
    try:
        resolve(name)
    except (AttributeError, ModuleNotFoundError):
        assert removed
