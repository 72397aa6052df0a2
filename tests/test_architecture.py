"""docs/architecture.md: what it names is where it says, so that a newcomer can follow its walks with the code open."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "docs"
TEXT = (FOLDER / "architecture.md").read_text(encoding="utf-8")
LINKS = re.findall(r"\[([^\]]*)\]\(([^)\s]+)\)", TEXT)
NAMED = sorted({(text.strip("`"), target) for text, target in LINKS if re.fullmatch(r"`[\w.]+`", text)})
SECTIONS = dict(re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))
WALKS = {title: body for title, body in SECTIONS.items() if "\n1. " in body}


def defined(file: Path) -> set[str]:
    """The functions, classes and constants of a module, and as Class.name what its classes have."""
    return set(_names(ast.parse(file.read_text(encoding="utf-8")).body))


def _names(body: list[ast.stmt]) -> list[str]:
    found = []
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.append(node.name)
        if isinstance(node, ast.ClassDef):
            found += [f"{node.name}.{name}" for name in _names(node.body)]
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        found += [target.id for target in targets if isinstance(target, ast.Name)]
    return found


@pytest.mark.parametrize("target", sorted({target for _, target in LINKS if "://" not in target}))
def test_a_link_leads_to_a_file(target):
    assert (FOLDER / target).is_file()


@pytest.mark.parametrize(("name", "target"), NAMED)
def test_a_name_is_defined_in_the_file_that_it_links_to(name, target):
    file = FOLDER / target
    assert name == file.name or name in defined(file)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"(?<!\[)`([A-Za-z_]\w+)`(?!\])", TEXT))))
def test_a_name_without_a_link_is_a_room_or_linked_elsewhere(name):
    linked = {part for text, _ in NAMED for part in (text, text.rpartition(".")[2])}
    rooms = {path.parent.name for path in FOLDER.parent.glob("pipelab/*/__init__.py")} | {"cli", "table"}
    assert name in linked | rooms | ATTRIBUTES


#: Said of what has just been linked to.
ATTRIBUTES = {"methods"}


@pytest.mark.parametrize("folder", re.findall(r"\bpipelab/[\w/]+/(?=[\s.])", TEXT))
def test_a_folder_that_is_named_is_there(folder):
    assert (FOLDER.parent / folder).is_dir()


def test_there_are_four_walks_and_each_step_names_code():
    assert len(WALKS) == 4
    for title, body in WALKS.items():
        steps = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", body, re.M | re.S)
        assert [int(number) for number, _ in steps] == [*range(1, len(steps) + 1)], title
        assert all("](../pipelab/" in step for _, step in steps), title


def test_it_is_short():
    lines = TEXT.splitlines()
    assert len(lines) <= 180
    assert not [pair for pair in pairwise(lines) if pair == ("", "")]
