"""Placement: one layer's experts, the copies of each, and the GPUs that hold them, wherever its making has got to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...eplb import Plan
from ..figures import number
from ..palette import STYLES, TRACK
from .shapes import WIDTH, Box, Line, Scene, Text, label

SINGLE, COPY, LIT = STYLES["F"].colour, STYLES["I"].colour, "#B3261E"
_LEFT, _RIGHT, _BAR = 66, 92, 0.86
_EXPERTS, _GPUS = 120, 170  # heights of the two panels
_FAINT = 0.3


@dataclass
class Allocation:
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
    def of(cls, plan: Plan, layer: int) -> Allocation:
        """A plan's layer."""
        sizes = plan.sizes
        gpus = plan.physical_to_logical[layer].reshape(sizes.gpus, -1)
        groups = sizes.groups if sizes.parts > 1 else 1
        size = sizes.experts // groups
        node_of = {int(e) // size: gpu * sizes.nodes // sizes.gpus for gpu, its in enumerate(gpus) for e in its}
        allocation = cls(plan.load[layer].tolist(), plan.replica_count[layer].tolist(), gpus.tolist(), sizes.slots)
        allocation.nodes, allocation.groups, allocation.node_of = sizes.nodes, groups, node_of if groups > 1 else {}
        return allocation

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


def titled(text: str) -> Scene:
    """A scene that begins with a line of text."""
    return Scene(height=18, texts=[Text(0, 13, text, size=12)])


def draw_experts(
    scene: Scene, allocation: Allocation, most: float, height: float = _EXPERTS, fade: bool = False
) -> None:
    """A panel below what is drawn: a bar for each copy, beside each other.

    most: the load that reaches the top;  fade: copies that are on a GPU already are faint
    """
    top, count = scene.height + 18, len(allocation.load)
    wide, bottom = (WIDTH - _LEFT - _RIGHT) / count, top + height
    left = [_LEFT + wide * (expert + (1 - _BAR) / 2) for expert in range(count)]
    on_gpu = [sum(held.count(expert) for held in allocation.gpus) for expert in range(count)]
    several = allocation.what == "expert" and max(allocation.copies) > 1
    _caption(scene, top, height, f"{allocation.what}s", ("a bar for", "each copy") if several else ())
    for expert in range(count):
        tall, copies = height * allocation.share(expert) / (most or 1), allocation.copies[expert]
        lit = expert == allocation.lit_expert
        each = wide * _BAR / copies
        hint = f"{allocation.what} {expert}: load {number(allocation.load[expert])}"
        hint += f", {copies} copies of {number(allocation.share(expert))}" if copies > 1 else ""
        if copies > 1:
            whole = height * allocation.load[expert] / (most or 1)
            scene.boxes.append(Box(left[expert], bottom - whole, wide * _BAR, whole, TRACK, hint=hint))
        for copy in range(copies):
            fill, frame = (COPY if copies > 1 else SINGLE), (LIT if lit else "")
            box = Box(left[expert] + copy * each, bottom - tall, each - min(1, each / 4), tall, fill, copies > 1, frame)
            scene.boxes.append(box._replace(opacity=_FAINT if fade and copy < on_gpu[expert] else 1.0, hint=hint))
        middle = left[expert] + wide * _BAR / 2
        times, share = f"×{copies}" if copies > 1 else "", number(allocation.share(expert))
        for text in (f"{times}  {share}".strip(), times):
            if text and 5.8 * len(text) < wide:
                scene.texts.append(Text(middle, bottom - tall - 4, text, "middle", 10, bold=lit))
                break
        if wide > 6.4 * len(str(count)) or expert % -(-count // 32) == 0:
            scene.texts.append(Text(middle, bottom + 13, str(expert), "middle", min(11, wide * 1.1), bold=lit))
    scene.lines.append(Line(_LEFT, bottom + 0.5, WIDTH - _RIGHT, bottom + 0.5))
    scene.height = bottom + 20
    if allocation.groups > 1:
        _draw_groups(scene, allocation, wide)


def _draw_groups(scene: Scene, allocation: Allocation, wide: float) -> None:
    y, size = scene.height, len(allocation.load) // allocation.groups
    for group in range(allocation.groups):
        x0, x1 = _LEFT + wide * (group * size + 0.1), _LEFT + wide * ((group + 1) * size - 0.1)
        lit = group == allocation.lit_group
        scene.lines.append(Line(x0, y, x1, y, LIT if lit else "page", width=2.5 if lit else 1.2))
        node = f" → node {allocation.node_of[group]}" if group in allocation.node_of else ""
        for text in (
            f"group {group}: {number(allocation.group_load(group))}{node}",
            f"group {group}{node}",
            str(group),
        ):
            if 6 * len(text) < x1 - x0:
                scene.texts.append(Text((x0 + x1) / 2, y + 14, text, "middle", bold=lit))
                break
    scene.height = y + 20


def draw_gpus(
    scene: Scene,
    allocation: Allocation,
    most: float,
    mean: float | None,
    bound: float | None = None,
    busiest: bool = False,
) -> None:
    """A panel below what is drawn: a column for each GPU, stacked of the copies that it holds.

    most     the load that reaches the top;  mean: of the GPUs, a dashed line;  bound: no plan's busiest GPU is lower
    busiest  mark the GPU that has the most to do
    """
    top, gpus = scene.height + 18, len(allocation.gpus)
    wide, bottom = (WIDTH - _LEFT - _RIGHT) / gpus, top + _GPUS
    _caption(scene, top, _GPUS, "GPUs", (f"{allocation.room} slot{'s' * (allocation.room > 1)} each",))
    marked = allocation.busiest() if busiest else allocation.lit_gpu
    loads = allocation.gpu_load
    for gpu, held in enumerate(allocation.gpus):
        x, y, across = _LEFT + wide * (gpu + (1 - _BAR) / 2), bottom, wide * _BAR
        scene.boxes.append(Box(x, top, across, _GPUS, TRACK))
        for expert in sorted(held, key=allocation.share, reverse=True):
            tall = _GPUS * allocation.share(expert) / (most or 1)
            several = allocation.copies[expert] > 1
            share = allocation.share(expert)
            y -= tall
            hint = f"GPU {gpu}, {number(loads[gpu])} in all: {allocation.what} {expert}, {number(share)}"
            lit = LIT if gpu == allocation.lit_gpu and expert == allocation.lit_expert else ""
            box = Box(x, y, across, max(0.0, tall - min(1, tall / 4)), COPY if several else SINGLE, several, lit)
            scene.boxes.append(box._replace(hint=hint))
            scene.texts += filter(None, [label(box, str(expert))])
        if gpu == marked:
            scene.boxes.append(Box(x - 1.5, y - 1.5, across + 3, bottom - y + 1.5, "", frame=LIT))
        text = number(loads[gpu])
        if wide > 6.4 * len(text) or gpu == marked:
            scene.texts.append(Text(x + across / 2, top - 5, text, "middle", 10, bold=gpu == marked))
        if wide > 6.4 * len(str(gpus)) or gpu % -(-gpus // 32) == 0:
            scene.texts.append(Text(x + across / 2, bottom + 13, str(gpu), "middle", bold=gpu == marked))
    scene.lines.append(Line(_LEFT, bottom + 0.5, WIDTH - _RIGHT, bottom + 0.5))
    _draw_levels(scene, bottom, most, mean, bound)
    scene.height = bottom + 20
    if allocation.nodes > 1:
        _draw_nodes(scene, allocation.nodes, top, bottom)


def _draw_levels(scene: Scene, bottom: float, most: float, mean: float | None, bound: float | None) -> None:
    """The mean, and the bound where it is another; their names at the right, apart from each other."""
    levels = [(mean, "mean", "5 3")] if mean is not None else []
    if bound is not None and mean is not None and bound > mean * 1.0005:
        levels.append((bound, "at least", "1.5 2.5"))
    free = bottom
    for level, name, dash in levels:
        y = bottom - _GPUS * level / (most or 1)
        free = min(y + 4, free - 13)
        scene.lines.append(Line(_LEFT, y, WIDTH - _RIGHT + 4, y, dash=dash))
        scene.texts.append(Text(WIDTH - _RIGHT + 8, free, f"{name} {number(level)}"))


def _draw_nodes(scene: Scene, nodes: int, top: float, bottom: float) -> None:
    wide = (WIDTH - _LEFT - _RIGHT) / nodes
    for node in range(nodes):
        scene.texts.append(Text(_LEFT + wide * (node + 0.5), bottom + 29, f"node {node}", "middle"))
        if node:
            x = _LEFT + wide * node
            scene.lines.append(Line(x, top - 8, x, bottom + 30, dash="2 3"))
    scene.height = bottom + 36


def _caption(scene: Scene, top: float, height: float, name: str, lines: Sequence[str] = ()) -> None:
    """At the left of a panel: what its columns are."""
    scene.texts.append(Text(_LEFT - 6, top + height + 13, name, "end"))
    for place, line in enumerate(lines):
        scene.texts.append(Text(_LEFT - 6, top + 10 + 13 * place, line, "end", 9))


def legend(scene: Scene, copies: bool = True) -> None:
    """What the colours mean;  copies: whether some expert has several."""
    y, x = scene.height + 6, float(_LEFT)
    entries = [("the busiest GPU", "", False, LIT)]
    if copies:
        entries = [
            ("an expert's only copy", SINGLE, False, ""),
            ("one of several copies", COPY, True, ""),
            ("what it would have without them", TRACK, False, ""),
            *entries,
        ]
    for text, fill, hatched, frame in entries:
        scene.boxes.append(Box(x, y, 11, 11, fill, hatched, frame))
        scene.texts.append(Text(x + 17, y + 10, text))
        x += 34 + 6.2 * len(text)
    scene.height = y + 18
