"""One layer's experts, the replicas of each, and the GPUs that hold them, wherever their placement has got to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ...eplb import Plan
from ..figures import number
from ..palette import STYLES, TRACK, load_colour
from .shapes import PAGE, WIDTH, Box, Line, Scene, Text, label

SINGLE, REPLICA, LIT, BEFORE = STYLES["F"].colour, STYLES["I"].colour, "#B3261E", STYLES["B"].colour
_LEFT, _RIGHT, _BAR = 66, 92, 0.86
_EXPERTS, _GPUS = 120, 170  # heights of the two panels
_LAYER, _LAYERS = 11, (35, 240)  # height of a layer's row; limits of all of them
_FAINT = 0.3


@dataclass
class Allocation:
    """What is drawn: loads and replicas of experts, and the GPUs' experts so far.

    load, replicas: of each expert;  gpus: the experts on each;  room: how many each takes;  groups: of neighbouring
    experts, 1 if they play no part;  nodes: of neighbouring GPUs;  node_of: the nodes of groups that have one;  lit_…:
    what the last step was about;  what: an expert's name in the picture.
    """

    load: list[float]
    replicas: list[int]
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
        found = cls(plan.load[layer].tolist(), plan.replica_count[layer].tolist(), gpus.tolist(), sizes.slots)
        found.nodes, found.groups = sizes.nodes, sizes.groups if sizes.parts > 1 else 1
        if found.groups > 1:
            size = sizes.experts // found.groups
            node = sizes.nodes / sizes.gpus
            found.node_of = {int(e) // size: int(gpu * node) for gpu, its in enumerate(gpus) for e in its}
        return found

    def share(self, expert: int) -> float:
        """What each of its replicas gets."""
        return self.load[expert] / self.replicas[expert]

    def group_load(self, group: int) -> float:
        size = len(self.load) // self.groups
        return sum(self.load[group * size : (group + 1) * size])

    @property
    def gpu_load(self) -> list[float]:
        return [sum(map(self.share, held)) for held in self.gpus]


class _Columns:
    """A panel below what is drawn, with so many columns, `most` to its top, and a line below; named at the left."""

    def __init__(self, scene: Scene, count: int, height: float, most: float, name: str, notes: Sequence[str]) -> None:
        self.scene, self.count, self.height, self.most = scene, count, height, most or 1.0
        self.top = scene.height + 18
        self.bottom, self.right = self.top + height, scene.width - _RIGHT
        self.step = (self.right - _LEFT) / count
        self.across = self.step * _BAR
        scene.texts.append(Text(_LEFT - 6, self.bottom + 13, name, "end"))
        for place, line in enumerate(notes):
            scene.texts.append(Text(_LEFT - 6, self.top + 10 + 13 * place, line, "end", 9))
        scene.lines.append(Line(_LEFT, self.bottom + 0.5, self.right, self.bottom + 0.5))
        scene.height = self.bottom + 20

    def left(self, column: float) -> float:
        return _LEFT + self.step * (column + (1 - _BAR) / 2)

    def tall(self, load: float) -> float:
        return self.height * load / self.most

    def number(self, column: int, lit: bool, size: float = 11) -> None:
        """A column's number, below it; of many narrow ones only some."""
        if self.step > 6.4 * len(str(self.count)) or column % -(-self.count // 32) == 0:
            middle = self.left(column) + self.across / 2
            self.scene.texts.append(Text(middle, self.bottom + 13, str(column), "middle", size, bold=lit))


def titled(text: str, width: float = WIDTH) -> Scene:
    """A scene that begins with a line of text."""
    return Scene(height=18, width=width, texts=[Text(0, 13, text, size=12)])


def draw_experts(scene: Scene, found: Allocation, most: float, height: float = _EXPERTS, fade: bool = False) -> None:
    """A panel below what is drawn: a bar for each replica, beside each other.

    most: the load that reaches the top;  fade: replicas that are on a GPU already are faint
    """
    notes = ("a bar for", "each replica") if found.what == "expert" and max(found.replicas) > 1 else ()
    panel = _Columns(scene, len(found.load), height, most, f"{found.what}s", notes)
    bottom = panel.bottom
    for expert, (load, replicas) in enumerate(zip(found.load, found.replicas, strict=True)):
        left, share, lit = panel.left(expert), found.share(expert), expert == found.lit_expert
        hint = f"{found.what} {expert}: load {number(load)}"
        if replicas > 1:
            hint += f", {replicas} replicas of {number(share)}"
            whole = panel.tall(load)
            scene.boxes.append(Box(left, bottom - whole, panel.across, whole, TRACK, hint=hint))
        tall, each = panel.tall(share), panel.across / replicas
        on_gpu = sum(held.count(expert) for held in found.gpus) if fade else 0
        fill, frame = (REPLICA if replicas > 1 else SINGLE), (LIT if lit else "")
        for replica in range(replicas):
            box = Box(left + replica * each, bottom - tall, each - min(1, each / 4), tall, fill, replicas > 1, frame)
            scene.boxes.append(box._replace(opacity=_FAINT if replica < on_gpu else 1.0, hint=hint))
        times = f"×{replicas}" if replicas > 1 else ""
        for text in (f"{times}  {number(share)}".strip(), times):
            if text and 5.8 * len(text) < panel.step:
                scene.texts.append(Text(left + panel.across / 2, bottom - tall - 4, text, "middle", 10, bold=lit))
                break
        panel.number(expert, lit, min(11, panel.step * 1.1))
    if found.groups > 1:
        _draw_groups(scene, found, panel.step)


def _draw_groups(scene: Scene, found: Allocation, step: float) -> None:
    y, size = scene.height, len(found.load) // found.groups
    for group in range(found.groups):
        x0, x1 = _LEFT + step * (group * size + 0.1), _LEFT + step * ((group + 1) * size - 0.1)
        lit = group == found.lit_group
        scene.lines.append(Line(x0, y, x1, y, LIT if lit else PAGE, width=2.5 if lit else 1.2))
        node = f" → node {found.node_of[group]}" if group in found.node_of else ""
        for text in (f"group {group}: {number(found.group_load(group))}{node}", f"group {group}{node}", str(group)):
            if 6 * len(text) < x1 - x0:
                scene.texts.append(Text((x0 + x1) / 2, y + 14, text, "middle", bold=lit))
                break
    scene.height = y + 20


def draw_gpus(
    scene: Scene,
    found: Allocation,
    most: float,
    mean: float,
    bound: float = 0.0,
    busiest: bool = False,
    before: Sequence[float] = (),
    height: float = _GPUS,
) -> None:
    """A panel below what is drawn: a column for each GPU, stacked of the replicas that it holds.

    most: the load that reaches the top;  mean: of the GPUs, a dashed line;  bound: no plan's busiest GPU is lower;
    busiest: mark the GPU that has the most to do;  before: loads of the GPUs under another plan, as lines
    """
    loads, slots = found.gpu_load, f"{found.room} slot{'s' * (found.room > 1)} each"
    panel = _Columns(scene, len(loads), height, most, "GPUs", (slots,))
    top, bottom, across = panel.top, panel.bottom, panel.across
    marked = max(range(len(loads)), key=loads.__getitem__) if busiest else found.lit_gpu
    for gpu, held in enumerate(found.gpus):
        x, y, bold = panel.left(gpu), bottom, gpu == marked
        scene.boxes.append(Box(x, top, across, height, TRACK))
        for expert in sorted(held, key=found.share, reverse=True):
            tall, several = panel.tall(share := found.share(expert)), found.replicas[expert] > 1
            y -= tall
            hint = f"GPU {gpu}, {number(loads[gpu])} in all: {found.what} {expert}, {number(share)}"
            lit = LIT if gpu == found.lit_gpu and expert == found.lit_expert else ""
            inner = max(0.0, tall - min(1, tall / 4))
            box = Box(x, y, across, inner, REPLICA if several else SINGLE, several, lit, hint=hint)
            scene.boxes.append(box)
            scene.texts += label(box, str(expert))
        if bold:
            scene.boxes.append(Box(x - 1.5, y - 1.5, across + 3, bottom - y + 1.5, "", frame=LIT))
        if panel.step > 6.4 * len(text := number(loads[gpu])) or bold:
            scene.texts.append(Text(x + across / 2, top - 5, text, "middle", 10, bold=bold))
        panel.number(gpu, bold)
    for gpu, load in enumerate(before):
        x, y = panel.left(gpu) - across * 0.05, bottom - panel.tall(load)
        scene.lines.append(Line(x, y, x + 1.1 * across, y, BEFORE, width=2))
    free = bottom  # names at the right, apart from each other
    levels = [(mean, "mean", "5 3"), (bound, "at least", "1.5 2.5")]
    for level, name, dash in levels if bound > mean * 1.0005 else levels[:1]:
        y = bottom - panel.tall(level)
        free = min(y + 4, free - 13)
        scene.lines.append(Line(_LEFT, y, panel.right + 4, y, dash=dash))
        scene.texts.append(Text(panel.right + 8, free, f"{name} {number(level)}"))
    if found.nodes > 1:
        _draw_nodes(scene, panel, found.nodes)


def _draw_nodes(scene: Scene, panel: _Columns, nodes: int) -> None:
    wide = panel.step * panel.count / nodes
    for node in range(nodes):
        scene.texts.append(Text(_LEFT + wide * (node + 0.5), panel.bottom + 29, f"node {node}", "middle"))
        if node:
            x = _LEFT + wide * node
            scene.lines.append(Line(x, panel.top - 8, x, panel.bottom + 30, dash="2 3"))
    scene.height = panel.bottom + 36


def draw_layers(scene: Scene, plan: Plan, chosen: int) -> None:
    """Rows below what is drawn, a box for each layer and GPU: its load over the layer's mean, as a colour.

    chosen: the layer that is drawn above
    """
    mean = plan.gpu_load.mean(axis=1, keepdims=True)
    ratio = np.divide(plan.gpu_load, mean, out=np.ones_like(plan.gpu_load), where=mean > 0)
    most, layers = max(float(np.abs(ratio - 1).max()), 1e-9), len(ratio)
    low, high, even, best = ratio.min(), ratio.max(), plan.balancedness.mean(), plan.attainable.mean()
    text = f"all layers · load / mean, {low:.2f} (blue) to {high:.2f} (orange) · mean balancedness {even:.3f}"
    scene.texts.append(Text(_LEFT, scene.height + 12, f"{text}, at most {best:.3f}", size=12))
    panel = _Columns(scene, plan.sizes.gpus, min(max(_LAYER * layers, _LAYERS[0]), _LAYERS[1]), 1, "", ())
    row = panel.height / layers
    for (layer, gpu), value in np.ndenumerate(ratio):
        hint = f"layer {layer}, GPU {gpu}: {value:.4f} of the mean"
        x, y = _LEFT + panel.step * gpu, panel.top + row * layer
        scene.boxes.append(Box(x, y, panel.step, row, load_colour((value - 1) / most), hint=hint))
    for layer in {0, chosen, layers - 1}:
        y, size = panel.top + row * (layer + 0.5), min(11, max(7, row))
        scene.texts.append(Text(_LEFT - 6, y + 0.36 * size, f"layer {layer}", "end", size, bold=layer == chosen))
    scene.height = panel.bottom + 4


def draw_legend(scene: Scene, replicas: bool = True, busiest: bool = True, before: str = "") -> None:
    """What the colours mean. replicas: whether some expert has several;  before: the other plan's policy."""
    y, x = scene.height + 6, float(_LEFT)
    only, several = ("an expert's only replica", SINGLE, False, ""), ("one of several replicas", REPLICA, True, "")
    entries = [only, several] * replicas
    if busiest:
        bare = [("what it would have without them", TRACK, False, "")] * replicas
        entries += [*bare, ("the busiest GPU", "", False, LIT)]
    if before:
        entries.append((f"before: {before}", BEFORE, False, ""))
    for text, fill, hatched, frame in entries:
        scene.boxes.append(Box(x, y, 11, 11, fill, hatched, frame))
        scene.texts.append(Text(x + 17, y + 10, text))
        x += 34 + 6.2 * len(text)
    scene.height = y + 18
