"""The house: imports go one way, between rooms and inside them; names mean one thing; files stay short."""

import re
from functools import partial
from graphlib import CycleError, TopologicalSorter
from itertools import combinations
from xml.etree import ElementTree

import pytest

from docs.house import MAY_IMPORT, PACKAGE, PICTURE, ROOT, allowed, draw, module_graph, modules, room_graph, room_of

GRAPH = module_graph()
LONGEST = 330  # lines


def test_every_room_has_its_rule():
    assert set(room_graph()) == set(MAY_IMPORT)


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_it_may(room):
    inside = {module: needed for module, needed in GRAPH.items() if module and room_of(module) == room}
    wrong = [
        f"{module} imports {each}"
        for module, needed in inside.items()
        for each in sorted(needed)
        if room_of(each) not in {room, *allowed(room)} or not each
    ]
    assert not wrong


def test_no_module_imports_in_a_circle():
    inner = {module: needed for module, needed in GRAPH.items() if module not in ("", "__main__")}
    try:
        [*TopologicalSorter(inner).static_order()]
    except CycleError as error:
        pytest.fail("in a circle: " + " <- ".join(error.args[1]))


def test_the_picture_is_that_of_these_imports():
    assert PICTURE.read_text() == draw(), "draw it again: python docs/house.py"


def test_the_picture_shows_each_room_and_no_arrow_passes_through_one():
    root = ElementTree.fromstring(draw())
    find = partial(root.findall, namespaces={"": "http://www.w3.org/2000/svg"})
    boxes = [tuple(float(each.get(name)) for name in ("x", "y", "width", "height")) for each in find("rect")]
    assert len(boxes) == len(MAY_IMPORT) - 2  # lazy.py and amounts.py are no rooms, and show nothing
    for (x, y, width, height), (u, v, wide, high) in combinations(boxes, 2):
        assert x + width <= u or u + wide <= x or y + height <= v or v + high <= y
    arrows = find("path")
    assert {each.find("{*}title").text for each in arrows} >= {"cli imports commands", "simulator imports timeline"}
    for each in arrows:  # it is straight where it passes a floor
        x, y = 0.0, 0.0
        for kind, numbers in re.findall(r"([MCV])([-\d. ]+)", each.get("d")):
            *_, last = found = [float(number) for number in numbers.split()]
            if kind == "V":
                inside = [
                    box for box in boxes if box[0] < x < box[0] + box[2] and y < box[1] + box[3] and box[1] < last
                ]
                assert not inside, each.find("{*}title").text
            x, y = (x if kind == "V" else found[-2]), last


def test_no_file_is_long():
    ours = [*modules().values(), *(ROOT / "tests").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    long = {
        str(path.relative_to(ROOT)): count for path in ours if (count := len(path.read_text().splitlines())) > LONGEST
    }
    assert not long


def test_the_readme_shows_the_rooms_that_there_are():
    text = (ROOT / "README.md").read_text()
    block = next(part for part in text.split("\n\n") if part.startswith("    pipelab/\n"))
    shown = [
        line.split()[0].rstrip("/") for line in block.splitlines()[1:] if line.startswith("      ") and line[6] != " "
    ]
    there = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    there -= {"__init__.py", "__main__.py"}
    assert sorted(shown) == sorted(there)
