"""Placement: one layer's experts, the copies of each, and the GPUs that hold them, wherever its making has got to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..eplb import Plan
from .drawing import Box, Drawing, Line, Text, label
from .figures import number
from .palette import STYLES, TRACK
from .svg import WIDTH

SINGLE, COPY, LIT = STYLES["F"].colour, STYLES["I"].colour, "#B3261E"
_LEFT, _RIGHT, _BAR = 66, 92, 0.86
_EXPERTS, _GPUS = 120, 170  # heights of the two panels
_FAINT = 0.3


@dataclass
class Scene:
    """load: of each expert; copies: of each; gpus: the experts on each GPU so far; room: how many each GPU takes.

    groups   of neighbouring experts, 1 if they play no part;  nodes: of neighbouring GPUs
    node_of  the nodes of groups that have one
    lit      the expert, the GPU and the group that the last step was about
    what     an expert is called in the picture
    """

    load: list[float]
    copies: list[int]
    gpus: list[list[int]]
    room: int
    nodes: int = 1
    groups: int = 1
    node_of: dict[int, int] = field(default_factory=dict)
    lit_expert: int | None = None
    lit_gpu: int | None = None
    lit_group: int | None = None
    what: str = "expert"

    @classmethod
    def of(cls, plan: Plan, layer: int) -> Scene:
        """A plan's layer."""
        sizes = plan.sizes
        gpus = plan.physical_to_logical[layer].reshape(sizes.gpus, -1)
        groups = sizes.groups if sizes.parts > 1 else 1
        size = sizes.experts // groups
        node_of = {int(e) // size: gpu * sizes.nodes // sizes.gpus for gpu, its in enumerate(gpus) for e in its}
        scene = cls(plan.load[layer].tolist(), plan.replica_count[layer].tolist(), gpus.tolist(), sizes.slots)
        scene.nodes, scene.groups, scene.node_of = sizes.nodes, groups, node_of if groups > 1 else {}
        return scene

    def share(self, expert: int) -> float:
        """What each of its copies gets."""
        return self.load[expert] / self.copies[expert]

    def group_load(self, group: int) -> float:
        size = len(self.load) // self.groups
        return sum(self.load[group * size : (group + 1) * size])

    @property
    def gpu_load(self) -> list[float]:
        return [sum(map(self.share, held)) for held in self.gpus]

    def busiest(self) -> int:
        return max(range(len(self.gpus)), key=self.gpu_load.__getitem__)


def titled(text: str) -> Drawing:
    """A drawing that begins with a line of text."""
    return Drawing(height=18, texts=[Text(0, 13, text, size=12)])


def draw_experts(drawing: Drawing, scene: Scene, most: float, height: float = _EXPERTS, fade: bool = False) -> None:
    """A panel below what is drawn: a bar for each copy, beside each other.

    most: the load that reaches the top;  fade: copies that are on a GPU already are faint
    """
    top, count = drawing.height + 18, len(scene.load)
    wide, bottom = (WIDTH - _LEFT - _RIGHT) / count, top + height
    left = [_LEFT + wide * (expert + (1 - _BAR) / 2) for expert in range(count)]
    on_gpu = [sum(held.count(expert) for held in scene.gpus) for expert in range(count)]
    several = scene.what == "expert" and max(scene.copies) > 1
    _caption(drawing, top, height, f"{scene.what}s", ("a bar for", "each copy") if several else ())
    for expert in range(count):
        tall, copies = height * scene.share(expert) / (most or 1), scene.copies[expert]
        lit = expert == scene.lit_expert
        each = wide * _BAR / copies
        hint = f"{scene.what} {expert}: load {number(scene.load[expert])}"
        hint += f", {copies} copies of {number(scene.share(expert))}" if copies > 1 else ""
        if copies > 1:
            whole = height * scene.load[expert] / (most or 1)
            drawing.boxes.append(Box(left[expert], bottom - whole, wide * _BAR, whole, TRACK, hint=hint))
        for copy in range(copies):
            fill, frame = (COPY if copies > 1 else SINGLE), (LIT if lit else "")
            box = Box(left[expert] + copy * each, bottom - tall, each - min(1, each / 4), tall, fill, copies > 1, frame)
            drawing.boxes.append(box._replace(opacity=_FAINT if fade and copy < on_gpu[expert] else 1.0, hint=hint))
        middle = left[expert] + wide * _BAR / 2
        times, share = f"×{copies}" if copies > 1 else "", number(scene.share(expert))
        for text in (f"{times}  {share}".strip(), times):
            if text and 5.8 * len(text) < wide:
                drawing.texts.append(Text(middle, bottom - tall - 4, text, "middle", 10, bold=lit))
                break
        if wide > 6.4 * len(str(count)) or expert % -(-count // 32) == 0:
            drawing.texts.append(Text(middle, bottom + 13, str(expert), "middle", min(11, wide * 1.1), bold=lit))
    drawing.lines.append(Line(_LEFT, bottom + 0.5, WIDTH - _RIGHT, bottom + 0.5))
    drawing.height = bottom + 20
    if scene.groups > 1:
        _draw_groups(drawing, scene, wide)


def _draw_groups(drawing: Drawing, scene: Scene, wide: float) -> None:
    y, size = drawing.height, len(scene.load) // scene.groups
    for group in range(scene.groups):
        x0, x1 = _LEFT + wide * (group * size + 0.1), _LEFT + wide * ((group + 1) * size - 0.1)
        lit = group == scene.lit_group
        drawing.lines.append(Line(x0, y, x1, y, LIT if lit else "page", width=2.5 if lit else 1.2))
        node = f" → node {scene.node_of[group]}" if group in scene.node_of else ""
        for text in (f"group {group}: {number(scene.group_load(group))}{node}", f"group {group}{node}", str(group)):
            if 6 * len(text) < x1 - x0:
                drawing.texts.append(Text((x0 + x1) / 2, y + 14, text, "middle", bold=lit))
                break
    drawing.height = y + 20


def draw_gpus(
    drawing: Drawing, scene: Scene, most: float, mean: float | None, bound: float | None = None, busiest: bool = False
) -> None:
    """A panel below what is drawn: a column for each GPU, stacked of the copies that it holds.

    most     the load that reaches the top;  mean: of the GPUs, a dashed line;  bound: no plan's busiest GPU is lower
    busiest  mark the GPU that has the most to do
    """
    top, gpus = drawing.height + 18, len(scene.gpus)
    wide, bottom = (WIDTH - _LEFT - _RIGHT) / gpus, top + _GPUS
    _caption(drawing, top, _GPUS, "GPUs", (f"{scene.room} slot{'s' * (scene.room > 1)} each",))
    marked = scene.busiest() if busiest else scene.lit_gpu
    loads = scene.gpu_load
    for gpu, held in enumerate(scene.gpus):
        x, y, across = _LEFT + wide * (gpu + (1 - _BAR) / 2), bottom, wide * _BAR
        drawing.boxes.append(Box(x, top, across, _GPUS, TRACK))
        for expert in sorted(held, key=scene.share, reverse=True):
            tall = _GPUS * scene.share(expert) / (most or 1)
            several = scene.copies[expert] > 1
            y -= tall
            hint = f"GPU {gpu}, {number(loads[gpu])} in all: {scene.what} {expert}, {number(scene.share(expert))}"
            lit = LIT if gpu == scene.lit_gpu and expert == scene.lit_expert else ""
            box = Box(x, y, across, max(0.0, tall - min(1, tall / 4)), COPY if several else SINGLE, several, lit)
            drawing.boxes.append(box._replace(hint=hint))
            drawing.texts += filter(None, [label(box, str(expert))])
        if gpu == marked:
            drawing.boxes.append(Box(x - 1.5, y - 1.5, across + 3, bottom - y + 1.5, "", frame=LIT))
        text = number(loads[gpu])
        if wide > 6.4 * len(text) or gpu == marked:
            drawing.texts.append(Text(x + across / 2, top - 5, text, "middle", 10, bold=gpu == marked))
        if wide > 6.4 * len(str(gpus)) or gpu % -(-gpus // 32) == 0:
            drawing.texts.append(Text(x + across / 2, bottom + 13, str(gpu), "middle", bold=gpu == marked))
    drawing.lines.append(Line(_LEFT, bottom + 0.5, WIDTH - _RIGHT, bottom + 0.5))
    _draw_levels(drawing, bottom, most, mean, bound)
    drawing.height = bottom + 20
    if scene.nodes > 1:
        _draw_nodes(drawing, scene.nodes, top, bottom)


def _draw_levels(drawing: Drawing, bottom: float, most: float, mean: float | None, bound: float | None) -> None:
    """The mean, and the bound where it is another; their names at the right, apart from each other."""
    levels = [(mean, "mean", "5 3")] if mean is not None else []
    if bound is not None and mean is not None and bound > mean * 1.0005:
        levels.append((bound, "at least", "1.5 2.5"))
    free = bottom
    for level, name, dash in levels:
        y = bottom - _GPUS * level / (most or 1)
        free = min(y + 4, free - 13)
        drawing.lines.append(Line(_LEFT, y, WIDTH - _RIGHT + 4, y, dash=dash))
        drawing.texts.append(Text(WIDTH - _RIGHT + 8, free, f"{name} {number(level)}"))


def _draw_nodes(drawing: Drawing, nodes: int, top: float, bottom: float) -> None:
    wide = (WIDTH - _LEFT - _RIGHT) / nodes
    for node in range(nodes):
        drawing.texts.append(Text(_LEFT + wide * (node + 0.5), bottom + 29, f"node {node}", "middle"))
        if node:
            x = _LEFT + wide * node
            drawing.lines.append(Line(x, top - 8, x, bottom + 30, dash="2 3"))
    drawing.height = bottom + 36


def _caption(drawing: Drawing, top: float, height: float, name: str, lines: Sequence[str] = ()) -> None:
    """At the left of a panel: what its columns are."""
    drawing.texts.append(Text(_LEFT - 6, top + height + 13, name, "end"))
    for place, line in enumerate(lines):
        drawing.texts.append(Text(_LEFT - 6, top + 10 + 13 * place, line, "end", 9))


def legend(drawing: Drawing, copies: bool = True) -> None:
    """What the colours mean;  copies: whether some expert has several."""
    y, x = drawing.height + 6, float(_LEFT)
    entries = [("the busiest GPU", "", False, LIT)]
    if copies:
        entries = [
            ("an expert's only copy", SINGLE, False, ""),
            ("one of several copies", COPY, True, ""),
            ("what it would have without them", TRACK, False, ""),
            *entries,
        ]
    for text, fill, hatched, frame in entries:
        drawing.boxes.append(Box(x, y, 11, 11, fill, hatched, frame))
        drawing.texts.append(Text(x + 17, y + 10, text))
        x += 34 + 6.2 * len(text)
    drawing.height = y + 18
