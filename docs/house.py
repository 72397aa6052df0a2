"""The house as it is: which module of pipelab imports which, read from the source; drawn as docs/house.svg.

`python docs/house.py` draws it again. tests/test_house.py holds the imports against the rules below.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipelab"
PICTURE = ROOT / "docs" / "house.svg"

#: Room -> the rooms that it may import, and with each whatever that one may import. `table` belongs to everybody.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "table": (),
    "ir": (),
    "eplb": (),
    "models": (),
    "ranks": (),
    "autograd": ("ranks",),
    "schedules": ("ir",),
    "timeline": ("ir",),
    "profiler": ("timeline",),
    "simulator": ("timeline", "schedules"),
    "study": ("simulator", "profiler"),
    "overlap": ("autograd", "simulator"),
    "runtime": ("ranks", "overlap", "simulator", "models"),
    "moe": ("overlap", "runtime"),
    "serving": ("moe", "eplb"),
    "show": ("study", "profiler", "serving", "runtime"),
    "course": ("show", "study", "profiler", "serving", "runtime"),
    "commands": ("course", "show"),
    "cli": ("commands",),
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name below pipelab, such as "ir.action"; a room is "ir"."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        if inside.parts[0] != "data":  # a link to recordings and the scripts that made them
            parts = inside.parent.parts if inside.name == "__init__.py" else inside.with_suffix("").parts
            found[".".join(parts)] = path
    return found


def imports(name: str, path: Path, known: Iterable[str]) -> set[str]:
    """The modules of the package that one of them names in its imports, wherever in the file: for type checkers, too.

    A name that a room only passes on counts as an import of that room.
    """
    inside = name.split(".") if name else []
    if path.name != "__init__.py":
        inside = inside[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name.removeprefix("pipelab").lstrip(".") for each in node.names if _ours(each.name)}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = inside[: len(inside) + 1 - node.level]
            elif _ours(node.module or ""):
                base = []
            else:
                continue
            base = [*base, *(node.module or "").removeprefix("pipelab" if not node.level else "").strip(".").split(".")]
            module = ".".join(filter(None, base))
            for each in node.names:
                below = f"{module}.{each.name}".lstrip(".")
                found.add(below if below in known else module)
    return found - {name}


def _ours(module: str) -> bool:
    return module.partition(".")[0] == "pipelab"


def module_graph() -> dict[str, set[str]]:
    """Module -> the modules that it imports."""
    known = modules()
    return {name: imports(name, path, known) for name, path in known.items()}


def room_of(module: str) -> str:
    """The room that a module stands in; a module beside the rooms is one of its own."""
    return module.partition(".")[0]


def room_graph() -> dict[str, set[str]]:
    """Room -> the rooms that its modules import. The front door, `pipelab/__init__.py`, is left out."""
    graph: dict[str, set[str]] = {}
    for module, needed in module_graph().items():
        if module and module != "__main__":
            graph.setdefault(room_of(module), set()).update(map(room_of, needed))
    return {room: needed - {room} for room, needed in graph.items()}


def allowed(room: str) -> set[str]:
    """All that a room may import, directly or not."""
    direct = set(MAY_IMPORT[room])
    return direct.union(*(allowed(each) for each in direct), {"table"} - {room})


def _reach(graph: Mapping[str, set[str]], room: str) -> set[str]:
    return graph[room].union(*(_reach(graph, each) for each in graph[room]))


def _arrows(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Imports that do not follow from others: a room that is reached through another needs no arrow of its own."""
    for room, needed in graph.items():
        through = set().union(*(_reach(graph, each) for each in needed))
        yield from ((room, each) for each in sorted(needed - through))


def _floors(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Rooms by floor: each stands one above the highest that it imports."""
    floor: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        floor[room] = 1 + max((floor[each] for each in graph[room]), default=-1)
    floors = [[room for room in MAY_IMPORT if floor.get(room) == number] for number in range(max(floor.values()) + 1)]
    return [row for row in floors if row]


def _summary(room: str) -> str:
    """The first sentence of the room's docstring."""
    path = modules()[room]
    text = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0]
    return text.removesuffix(".").partition(". ")[0]


_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .name { font-weight: 600 } .what { font-size: 11px }
rect { fill: #f3f6fa; stroke: #57606a } path { fill: none; stroke: #0072b2; stroke-opacity: .55; stroke-width: 1.4 }
marker path { fill: #0072b2; fill-opacity: .8; stroke: none }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } rect { fill: #1c2330; stroke: #8b949e }
path { stroke: #56b4e9 } marker path { fill: #56b4e9 } }
"""
_WIDTH, _BOX, _HEIGHT, _GAP = 1180, 210, 62, 34


def _wrapped(text: str, width: int = 34, lines: int = 2) -> list[str]:
    rows = [""]
    for word in text.split():
        if len(rows[-1]) + len(word) > width:
            rows.append("")
        rows[-1] = f"{rows[-1]} {word}".strip()
    return rows if len(rows) <= lines else [*rows[: lines - 1], rows[lines - 1] + " …"]


def draw() -> str:
    """The rooms and their imports as SVG: what stands higher imports what stands lower."""
    graph = {room: needed - {"table"} for room, needed in room_graph().items() if room != "table"}
    floors = _floors(graph)
    place: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(reversed(floors)):
        step = _WIDTH / len(row)
        for index, room in enumerate(row):
            place[room] = (step * (index + 0.5) - _BOX / 2, 10 + number * (_HEIGHT + _GAP))
    height = 20 + len(floors) * (_HEIGHT + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="The rooms of pipelab: what stands higher imports what stands lower">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0 1L8 4L0 7z"/></marker></defs>',
    ]
    for room, needed in _arrows(graph):
        (x, y), (u, v) = place[room], place[needed]
        x, y, u = x + _BOX / 2, y + _HEIGHT, u + _BOX / 2
        bend = (v - y) / 2
        curve = f"M{x:g} {y:g}C{x:g} {y + bend:g} {u:g} {v - bend:g} {u:g} {v:g}"
        parts.append(f'<path d="{curve}" marker-end="url(#tip)"><title>{room} imports {needed}</title></path>')
    for room, (x, y) in place.items():
        parts.append(f'<rect x="{x:g}" y="{y:g}" width="{_BOX}" height="{_HEIGHT}" rx="6"/>')
        parts.append(f'<text class="name" x="{x + 10:g}" y="{y + 20:g}">{room}</text>')
        for line, text in enumerate(_wrapped(_summary(room))):
            parts.append(f'<text class="what" x="{x + 10:g}" y="{y + 37 + 14 * line:g}">{escape(text)}</text>')
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw())
    print(f"{PICTURE} is drawn", file=sys.stderr)
