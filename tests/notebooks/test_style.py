"""How every lesson looks: what it asks of a reader, words, formulas, tables and imports, in one form."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

import pipelab
from tests.notebooks.test_lessons import EACH_LESSON, LESSONS
from tests.test_glossary import TERMS

ASSIGNMENTS = sorted(LESSONS[0].parent.glob("assignments/source/*/*.ipynb"))
EACH_NOTEBOOK = pytest.mark.parametrize("path", [*LESSONS, *ASSIGNMENTS], ids=lambda path: path.stem)

NEEDS = re.compile(r"^\*About (\d+) minutes · needs (.+) · (core|optional)\*$", re.MULTILINE)
CODE, MATH = re.compile(r"```.*?```|`[^`]*`", re.DOTALL), re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)


def cells(path: Path, kind: str) -> list[str]:
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def calls_and_imports(path: Path) -> Iterator[ast.AST]:
    """Of all code that is Python, and not IPython's."""
    for source in cells(path, "code"):
        lines = (line for line in source.splitlines() if not line.lstrip().startswith(("%", "!")))
        yield from ast.walk(ast.parse("\n".join(lines)))


def links_to_glossary(path: Path) -> list[str]:
    return re.findall(r"\]\(\.\./docs/glossary\.md#([^)]+)\)", "\n".join(cells(path, "markdown")))


@EACH_LESSON
def test_says_what_it_asks_of_a_reader(path: Path) -> None:
    top = cells(path, "markdown")[0]
    assert len(NEEDS.findall(top)) == 1, "*About 45 minutes · needs [lesson 02](02_gpipe.ipynb) · core*"
    earlier = re.findall(r"\]\((\d\d)_", NEEDS.search(top)[2])
    assert all(number < path.stem[:2] for number in earlier), "it needs a lesson that comes later"


def test_the_first_lesson_lists_all_of_them() -> None:
    start = "\n".join(cells(LESSONS[0], "markdown"))
    listed = re.findall(r"^\| (\d\d) \| (?:\[(.+?)\]\((.+?)\)|(.+?)) \| .+ \| (\d+) \| (\w+) \|$", start, re.MULTILINE)
    first, there = LESSONS[0].name, []
    for path in LESSONS:
        top = cells(path, "markdown")[0]
        number, title = re.match(r"# (\d\d) · (.+)", top).groups()
        minutes, _, kind = NEEDS.search(top).groups()
        there.append((number, title, path.name, minutes, kind))
    assert [(number, title or own, file or first, *rest) for number, title, file, own, *rest in listed] == there


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """What a lesson imports from pipelab: (module, name)."""
    for node in calls_and_imports(path):
        if isinstance(node, ast.ImportFrom) and re.match(r"pipelab\b", node.module or ""):
            yield from ((str(node.module), each.name) for each in node.names)
        assert not (isinstance(node, ast.Import) and "pipelab" in ast.unparse(node)), "from pipelab import …"


@EACH_LESSON
def test_imports_from_the_front_door_and_at_most_five_rooms(path: Path) -> None:
    assert not [
        node for node in calls_and_imports(path) if isinstance(node, ast.Import) and "pipelab" in ast.dump(node)
    ]
    rooms = {".".join(module.split(".")[:2]) for module, _ in imported(path)}
    assert "pipelab" in rooms
    assert len(rooms) <= 6, sorted(rooms)


@EACH_NOTEBOOK
def test_imports_no_old_name_and_each_cell_in_order(path: Path) -> None:
    """First the front door, then rooms by name; a name that only warns is not for a reader."""
    assert {name for module, name in imported(path) if module == "pipelab"} <= {*pipelab.__all__}
    for source in cells(path, "code"):
        for block in re.findall(r"(?:^ *from pipelab\b.*\n)+", source, re.MULTILINE):
            modules = re.findall(r"from (\S+)", block)
            assert modules == sorted(set(modules)), block


@EACH_LESSON
def test_figures_stand_in_tables(path: Path) -> None:
    """And not in lines that are printed: no figure is formatted there, and no column aligned."""
    for node in calls_and_imports(path):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("ljust", "rjust", "center"), ast.unparse(node)
        if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "print"):
            continue
        for part in (inner for argument in node.args for inner in ast.walk(argument)):
            assert not (isinstance(part, ast.FormattedValue) and part.format_spec), ast.unparse(node)
            assert not (isinstance(part, ast.Constant) and "  " in str(part.value)), ast.unparse(node)


@EACH_LESSON
def test_formulas_are_set_as_formulas(path: Path) -> None:
    for source in cells(path, "markdown"):
        prose = CODE.sub("", source)
        formulas = MATH.findall(prose)
        assert "$" not in MATH.sub("", prose), f"a formula that does not end: {source}"
        assert not re.search(r"[\w)]·[\w(]|\([PMV]-1\)", MATH.sub("", prose)), f"a formula as plain text: {source}"
        for formula in formulas:  # GitHub's Markdown eats a backslash before most signs
            assert not re.search(r"[·×*≤≥]|\\[^a-zA-Z&]", formula), formula


@EACH_LESSON
def test_a_prediction_is_asked_for_in_a_cell_of_its_own(path: Path) -> None:
    """What follows is not in sight before one has been written down."""
    for source in cells(path, "code"):
        if re.search(r"^my_prediction\w* = \.\.\.", source, re.MULTILINE):
            assert all(isinstance(node, ast.Assign) for node in ast.parse(source).body), source
            assert "why =" not in source and "hint =" not in source, source


@EACH_LESSON
def test_words_lead_to_the_glossary(path: Path) -> None:
    links = links_to_glossary(path)
    assert links and set(links) <= {term.anchor for term in TERMS}
    assert len(links) == len(set(links)), "a word is explained once"


@EACH_LESSON
def test_words_that_it_introduces_lead_to_the_glossary(path: Path) -> None:
    introduced = {term.anchor for term in TERMS if path.name in term.lesson}
    assert introduced <= set(links_to_glossary(path))
