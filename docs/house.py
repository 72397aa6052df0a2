"""The house as it is: which module of pipelab imports which, read from the source; drawn as docs/house.svg.

`python docs/house.py` draws it again. tests/test_house.py holds the imports against the rules below.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from graphlib import TopologicalSorter
from html import escape
from itertools import combinations, pairwise
from pathlib import Path
from statistics import fmean
from textwrap import wrap

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "pipelab"
PICTURE = ROOT / "docs" / "house.svg"

#: Modules that belong to no room.
EVERYBODYS = {"table", "lazy", "amounts"}

#: Room -> the rooms that it may import, with all that those may import; and EVERYBODYS.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "table": (),
    "lazy": (),
    "amounts": (),
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
    if path.stem != "__init__":
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
    """Module -> the modules that it imports, also lazily, by the stub beside it."""
    known = modules()
    graph = {name: imports(name, path, known) for name, path in known.items()}
    for name, path in known.items():
        if (stub := path.with_suffix(".pyi")).exists():
            graph[name] |= imports(name, stub, known)
    return graph


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
    return direct.union(*(allowed(each) for each in direct), EVERYBODYS - {room})


def _reach(graph: Mapping[str, set[str]], room: str) -> set[str]:
    return graph[room].union(*(_reach(graph, each) for each in graph[room]))


def _arrows(graph: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Imports that do not follow from others: a room that is reached through another needs no arrow of its own."""
    for room, needed in graph.items():
        through = set().union(*(_reach(graph, each) for each in needed))
        yield from ((room, each) for each in sorted(needed - through))


def _summary(room: str) -> str:
    """What the room is: its docstring's first line up to a colon, or from there if that was but its name."""
    text = (ast.get_docstring(ast.parse(modules()[room].read_text())) or "").partition("\n")[0]
    name, _, what = re.split(r"\. |\.$", text)[0].partition(": ")
    return (name if " " in name else what[:1].upper() + what[1:]).replace("->", "→")


def packages(room: str) -> list[str]:
    """Which large packages the room imports: numpy goes without saying where torch or matplotlib is there."""
    found = set()
    for module, path in modules().items():
        if room_of(module) == room:
            for node in ast.walk(ast.parse(path.read_text())):
                names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
                if isinstance(node, ast.ImportFrom) and not node.level:
                    names = [node.module or ""]
                found |= {name.partition(".")[0] for name in names}
    return sorted(found & {"ipywidgets", "matplotlib", "torch"}) or sorted(found & {"numpy"})


# -- the picture: floors by imports, arrows led past the rooms between -------------------------------------------------

#: A room, or a bend: where an arrow from one room to another passes a floor between them.
Node = str | tuple[str, str, int]

_BOX, _LANE, _SPACE = 188, 8, 18  # widths of a room, of an arrow that passes by, and what stays free between two
_GAP, _EDGE = 40, 8
_STYLE = """
text { font: 600 14px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.what { font-weight: 400; font-size: 11.5px } .with { font-weight: 400; font-size: 10.5px; fill: #59636e }
rect { fill: #f3f5f8; stroke: #7a8794 } .torch { fill: #fdf1e7 } path { fill: none; stroke: #0072b2; stroke-width: 1.5 }
marker path { fill: #0072b2; stroke: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .with { fill: #9198a1 } rect { fill: #1b222c; stroke: #6b7785 } .torch { fill: #2d2219 }
  path { stroke: #56b4e9 } marker path { fill: #56b4e9; stroke: none }
}
"""


def _floors(graph: Mapping[str, set[str]], arrows: list[tuple[str, str]]) -> dict[str, int]:
    """Room -> its floor, above all that it imports; where it can choose, near to where more of its arrows lead."""
    order = [*TopologicalSorter(graph).static_order()]
    floor: dict[str, int] = {}
    for room in order:
        floor[room] = 1 + max((floor[each] for each in graph[room]), default=-1)
    for room in reversed(order):  # those above it have chosen
        above = [floor[user] for user, used in arrows if used == room]
        if len(above) > sum(user == room for user, _ in arrows):
            floor[room] = min(above) - 1
    return floor


def _chains(arrows: list[tuple[str, str]], floor: Mapping[str, int]) -> list[list[Node]]:
    """Each arrow as the nodes that it leads through, from above."""
    return [
        [user, *((user, used, number) for number in range(floor[user] - 1, floor[used], -1)), used]
        for user, used in arrows
    ]


def _crossings(rows: list[list[Node]], links: set[tuple[Node, Node]]) -> int:
    place = {node: index for row in rows for index, node in enumerate(row)}
    depth = {node: number for number, row in enumerate(rows) for node in row}
    return sum(
        depth[a] == depth[c] and (place[a] - place[c]) * (place[b] - place[d]) < 0
        for (a, b), (c, d) in combinations(sorted(links, key=str), 2)
    )


def _ordered(rows: list[list[Node]], links: set[tuple[Node, Node]]) -> list[list[Node]]:
    """The nodes of each floor from left to right, so that few arrows cross: each near the middle of its neighbours."""
    near: dict[Node, list[Node]] = {node: [] for row in rows for node in row}
    for above, below in sorted(links, key=str):
        near[above].append(below)
        near[below].append(above)
    best, rows = rows, [list(row) for row in rows]
    for sweep in range(24):
        for number in range(len(rows)) if sweep % 2 else reversed(range(len(rows))):
            other = number - 1 if sweep % 2 else number + 1
            if 0 <= other < len(rows):
                place = {node: index for index, node in enumerate(rows[other])}
                middle = {
                    node: fmean([place[each] for each in near[node] if each in place] or [index])
                    for index, node in enumerate(rows[number])
                }
                rows[number].sort(key=middle.__getitem__)
        if _crossings(rows, links) < _crossings(best, links):
            best = [list(row) for row in rows]
    return best


def _apart(wanted: list[float], widths: list[float]) -> list[float]:
    """Centres as near to those wanted as they can be, in their order, with space between (isotonic regression)."""
    offsets = [0.0]
    for left, right in pairwise(widths):
        offsets.append(offsets[-1] + (left + right) / 2 + _SPACE)
    blocks: list[list[float]] = []  # [sum, number] of those that touch
    for centre, offset in zip(wanted, offsets, strict=True):
        blocks.append([centre - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, number = blocks.pop()
            blocks[-1] = [blocks[-1][0] + total, blocks[-1][1] + number]
    shifts = [total / number for total, number in blocks for _ in range(int(number))]
    return [shift + offset for shift, offset in zip(shifts, offsets, strict=True)]


def _centres(rows: list[list[Node]], chains: list[list[Node]]) -> dict[Node, float]:
    """Node -> the middle of it: near what it is linked to, and arrows straight where they pass by."""
    near: dict[Node, list[Node]] = {node: [] for row in rows for node in row}
    for chain in chains:
        for above, below in pairwise(chain):
            near[above].append(below)
            near[below].append(above)
        for node in chain[1:-1]:
            near[node] += chain[1:-1] * 30
    centre: dict[Node, float] = dict.fromkeys(near, 0.0)
    widths = {node: float(_BOX if isinstance(node, str) else _LANE) for node in near}
    for sweep in range(200):
        for row in rows if sweep % 2 else reversed(rows):
            wanted = [fmean([*(centre[each] for each in near[node]), *[0.0] * isinstance(node, str)]) for node in row]
            centre.update(zip(row, _apart(wanted, [widths[node] for node in row]), strict=True))
    left = min(centre[node] - widths[node] / 2 for node in near)
    return {node: round(x - left + _EDGE) for node, x in centre.items()}


def _port(room: str, towards: Node, others: list[Node], x: Mapping[Node, float]) -> float:
    """Where on a room's edge an arrow stands: beside those to its other neighbours, in the order of where they lead."""
    order = sorted(others, key=lambda node: (x[node], str(node)))
    return x[room] + 22 * (order.index(towards) - (len(order) - 1) / 2)


def _text(room: str) -> list[str]:
    return wrap(_summary(room), 27)


def _box(room: str, lines: list[str], left: float, top: float, width: float, height: float) -> Iterator[str]:
    """A room: its name, the large packages that it needs, what it is."""
    needs = packages(room)
    yield f'<rect class="{" ".join(needs)}" x="{left:g}" y="{top:g}" width="{width:g}" height="{height:g}" rx="6"/>'
    yield f'<text x="{left + 10:g}" y="{top + 20:g}">{room}</text>'
    if needs:
        where = f'x="{left + width - 10:g}" y="{top + 20:g}" text-anchor="end"'
        yield f'<text class="with" {where}>{" · ".join(needs)}</text>'
    for line, text in enumerate(lines):
        yield f'<text class="what" x="{left + 10:g}" y="{top + 37 + 15 * line:g}">{escape(text)}</text>'


def draw() -> str:
    """The rooms and their imports as SVG: what stands higher imports what stands lower, and all may use the table."""
    graph = {room: needed - EVERYBODYS for room, needed in room_graph().items() if room not in EVERYBODYS}
    arrows = sorted(_arrows(graph))
    floor = _floors(graph, arrows)
    chains = _chains(arrows, floor)
    rows: list[list[Node]] = [[] for _ in range(max(floor.values()) + 1)]  # from the roof down
    for room in MAY_IMPORT:
        if room in floor:
            rows[-1 - floor[room]].append(room)
    for chain in chains:
        for node in chain[1:-1]:
            rows[-1 - node[2]].append(node)
    rows = _ordered(rows, {link for chain in chains for link in pairwise(chain)})
    x = _centres(rows, chains)
    top, bottom, y = {}, {}, _EDGE
    for row in rows:
        height = 30 + 15 * max(len(_text(node)) for node in row if isinstance(node, str))
        top |= dict.fromkeys(row, y)
        bottom |= dict.fromkeys(row, y + height)
        y += height + _GAP
    width, y, ground = max(x[room] for room in floor) + _BOX // 2 + _EDGE, y - _GAP // 2, 45
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + ground + _EDGE}" role="img" '
        'aria-label="The rooms of pipelab: what stands higher imports what stands lower">',
        f"<style>{_STYLE}</style>",
        '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
        '<path d="M0 1L8 4L0 7z"/></marker></defs>',
    ]
    for chain in chains:
        user, used = str(chain[0]), str(chain[-1])
        points = [(_port(user, chain[1], [c[1] for c in chains if c[0] == user], x), bottom[user])]
        for node in chain[1:-1]:
            points += [(x[node], top[node]), (x[node], bottom[node])]
        points.append((_port(used, chain[-2], [c[-2] for c in chains if c[-1] == used], x), top[used] - 1))
        curve = f"M{points[0][0]:g} {points[0][1]:g}"
        for (a, b), (c, d) in pairwise(points):
            middle = (b + d) / 2
            curve += f"V{d:g}" if a == c else f"C{a:g} {middle:g} {c:g} {middle:g} {c:g} {d:g}"
        parts.append(f'<path d="{curve}" marker-end="url(#tip)"><title>{user} imports {used}</title></path>')
    for room in graph:
        parts += _box(room, _text(room), x[room] - _BOX // 2, top[room], _BOX, bottom[room] - top[room])
    parts += _box("table", [f"{_summary('table')}. Every room may use it."], _EDGE, y, width - 2 * _EDGE, ground)
    return "\n".join([*parts, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw())
    print(f"{PICTURE} is drawn", file=sys.stderr)
