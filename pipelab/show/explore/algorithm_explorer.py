"""Algorithm explorer: replication and packing of experts, one step a picture, as the balancer's own loops do them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from ...amounts import at_least
from ...eplb import Plan
from ...eplb.reference import Step, Steps, global_steps, hierarchical_steps, pack_steps, replicate_steps
from ...eplb.sizes import Sizes, as_layers, scaled
from ..backends.drawing import scene_picture
from ..backends.picture import Picture
from ..backends.svg import scene_svg
from ..figures import number
from ..scene.placement_scene import Allocation, draw_experts, draw_gpus, titled
from ..scene.shapes import Scene
from .base import Explorer, html, player, row

WHATS = ("replicate", "pack", "global", "hierarchical")
_TALL = 190  # of the experts' panel where it is alone
_ORDINALS = ("", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


def explore_algorithm(
    load: Any, replicas: int | None = None, gpus: int = 4, nodes: int = 1, groups: int = 1, *, what: str = "global"
) -> AlgorithmExplorer:
    """A widget: the published balancing algorithm, step by step. Play it, press Back or Next, or move the slider.

    Parameters
    ----------
    load : array
        Of one layer's experts: [experts], or [1, experts].
    replicas, gpus, nodes, groups : int
        Those of :func:`pipelab.rebalance`, whose greedy plan the last picture is.
    what : str
        "replicate": hand out replicas until there are that many. "pack": load is of items, which are packed as
        they are; gpus says into how many packs. "global": replicate, then pack the replicas onto the GPUs.
        "hierarchical": pack the groups into nodes; then, in each node, replicate and pack.

    Raises
    ------
    ValueError
        For sizes that do not fit together.

    Examples
    --------
    >>> explorer = explore_algorithm([8, 3, 1], replicas=6, gpus=2)
    >>> explorer.at.value = 1
    >>> print(explorer.sentences[1])
    Expert 0, 8 per replica, is the heaviest: it gets a second replica, and each has 4.
    """
    return AlgorithmExplorer(load, replicas, gpus, nodes, groups, what)


class AlgorithmExplorer(Explorer):
    """What `explore_algorithm` returns.

    states, sentences: one for the beginning, and one for each step;  at: the slider that chooses one;  steps: of
    `pipelab.eplb.reference`
    """

    def __init__(self, load: Any, replicas: int | None, gpus: int, nodes: int, groups: int, what: str) -> None:
        if what not in WHATS:
            raise ValueError(f"what must be one of {', '.join(WHATS)}; got {what!r}")
        super().__init__("stepper")
        self.what = what
        given = as_layers(load)
        if len(given) != 1:
            raise ValueError(f"one layer at a time; got {len(given)}: take load[0], say")
        experts, gpus = given.shape[1], at_least(1, gpus, "gpus")
        if replicas is None or what == "pack":
            replicas = experts if what == "pack" else -(-experts * 3 // 2 // gpus) * gpus
        if what == "replicate":
            gpus = nodes = groups = 1  # they play no part
        self.sizes = Sizes(1, experts, replicas, gpus, nodes, groups)
        if what == "hierarchical" and not self.sizes.hierarchical:
            raise ValueError(
                f"groups must be a multiple of nodes ({nodes}), so that a group stays on one; got {groups}"
            )
        self.placed: tuple[list[int], list[int]] | None = None
        self.steps: list[Step] = []
        allocation = _beginning(given[0].tolist(), self.sizes, what)
        self.states, self.sentences = [allocation], [self._opening()]
        for step in self._follow(scaled(given)[0]):
            self.steps.append(step)
            self.states.append(_after(self.states[-1], step))
            self.sentences.append(_sentence(self.states[-2], step, self.sizes))
        self.sentences[-1] += " " + self._closing(self.states[-1])
        self._most_loaded = max(self.states[-1].gpu_load, default=0.0)
        small = widgets.Layout(width="90px")
        self.back = widgets.Button(description="Back", icon="step-backward", layout=small).add_class("pipelab-back")
        self.next = widgets.Button(description="Next", icon="step-forward", layout=small).add_class("pipelab-next")
        self.back.on_click(lambda _: self._go(-1))
        self.next.on_click(lambda _: self._go(1))
        self.play, self.at, self.link = player("Step", len(self.steps), 1500)
        self.sentence, self.picture = html("sentence"), html("steps")
        self.fill([row(self.play, self.back, self.next, self.at), self.sentence, self.picture], [self.at])

    def __repr__(self) -> str:
        return f"{self.what}, step {self.at.value} of {len(self.steps)}: {self.sentences[self.at.value]}"

    @property
    def plan(self) -> Plan | None:
        """What the last step completes."""
        if self.placed is None:
            return None
        sizes = self.sizes
        load = np.array([self.states[0].load])
        return Plan.from_map([self.placed[0]], load, sizes.gpus, sizes.nodes, sizes.groups, policy="greedy")

    def _follow(self, load: Any) -> Iterator[Step]:
        sizes, loads = self.sizes, list(load)
        if self.what in ("replicate", "pack"):
            replicate, slots = self.what == "replicate", sizes.replicas
            yield from replicate_steps(loads, slots) if replicate else pack_steps(loads, sizes.gpus)
            return
        steps: Steps[tuple[list[int], list[int]]] = global_steps(loads, sizes.replicas, sizes.gpus)
        if self.what == "hierarchical":
            steps = hierarchical_steps(loads, sizes.replicas, sizes.groups, sizes.nodes, sizes.gpus)
        self.placed = yield from steps

    def _go(self, by: int) -> None:
        self.at.value = min(max(self.at.value + by, 0), len(self.steps))

    def draw(self, change: Any) -> None:
        at = self.at.value
        self.back.disabled, self.next.disabled = at == 0, at == len(self.steps)
        text = escape(self.sentences[at])
        self.sentence.value = f'<div role="status" aria-live="polite" style="min-height:40px">{text}</div>'
        self.picture.value = scene_svg(self._scene(at), self.sentences[at])

    def _scene(self, at: int, title: str = "") -> Scene:
        allocation, scene = self.states[at], titled(title) if title else Scene()
        alone = self.what == "replicate"
        draw_experts(scene, allocation, max(allocation.load), **({"height": _TALL} if alone else {"fade": True}))
        if not alone:
            last = at == len(self.steps)
            mean = sum(allocation.load) / len(allocation.gpus)
            draw_gpus(scene, allocation, 1.1 * self._most_loaded, mean, busiest=last)
        return scene

    def still(self) -> Picture:
        last = len(self.steps)
        done = self.sentences[-1].rpartition("Done: ")[2].rstrip(".")
        return scene_picture(
            self._scene(last, f"{self.what}, after {last} steps: {done} · run the cell to step through")
        )

    # -- sentences ---------------------------------------------------------------------------------------------------

    def _opening(self) -> str:
        sizes = self.sizes
        if self.what == "pack":
            return f"{sizes.experts} items for {sizes.gpus} GPUs, {sizes.slots} on each. Which goes first, and where?"
        if self.what == "hierarchical":
            each = sizes.groups // sizes.nodes
            return (
                f"{sizes.groups} groups of {sizes.experts // sizes.groups} experts for {sizes.nodes} nodes, {each} on "
                "each. Which goes first, and where?"
            )
        more = sizes.replicas - sizes.experts
        given = f"{sizes.experts} experts, one replica each, and {sizes.replicas} slots"
        return f"{given}: who gets the {more} more replicas?"

    def _closing(self, allocation: Allocation) -> str:
        if self.what == "replicate":
            heaviest = max(map(allocation.share, range(len(allocation.load))))
            most = max(allocation.load)
            return f"Done: no replica has more than {number(heaviest)}; with one replica each it was {number(most)}."
        loads = allocation.gpu_load
        mean, most = sum(loads) / len(loads), max(loads)
        balance = f"balancedness {mean / most:.3f}" if most else "there is no load at all"
        return f"Done: the busiest GPU has {number(most)}, and the mean is {number(mean)}: {balance}."


def _beginning(load: list[float], sizes: Sizes, what: str) -> Allocation:
    gpus: list[list[int]] = [] if what == "replicate" else [[] for _ in range(sizes.gpus)]
    groups, called = sizes.groups if what == "hierarchical" else 1, "item" if what == "pack" else "expert"
    return Allocation(load, [1] * sizes.experts, gpus, sizes.slots, sizes.nodes, groups, what=called)


def _after(allocation: Allocation, step: Step) -> Allocation:
    """The allocation with one step more."""
    kind, item, place = step
    unlit = replace(allocation, lit_group=None, lit_expert=None, lit_gpu=None)
    if kind == "group":
        return replace(unlit, node_of={**allocation.node_of, item: place}, lit_group=item)
    if kind == "replica":
        replicas = [place if expert == item else count for expert, count in enumerate(allocation.replicas)]
        return replace(unlit, replicas=replicas, lit_expert=item)
    gpus = [[*held, item] if gpu == place else held for gpu, held in enumerate(allocation.gpus)]
    return replace(unlit, gpus=gpus, lit_expert=item, lit_gpu=place)


def _sentence(before: Allocation, step: Step, sizes: Sizes) -> str:
    """What a step does, and why."""
    kind, item, place = step
    if kind == "group":
        if sizes.groups == sizes.nodes:
            return f"One group on each node, so there is nothing to choose: group {item} goes to node {place}."
        has = sum(before.group_load(group) for group, node in before.node_of.items() if node == place)
        return (
            f"Group {item}, with {number(before.group_load(item))}, is the heaviest left. Node {place}, with "
            f"{number(has)} so far, is the lightest with room: there it goes."
        )
    if kind == "replica":
        nth = _ORDINALS[place] if place < len(_ORDINALS) else f"{place}th"
        share, now = number(before.share(item)), number(before.load[item] / place)
        if not before.load[item]:
            return f"No expert here has any load, so that all count the same: expert {item} gets a {nth} replica."
        here = ""
        if before.groups > 1:
            here = f" of node {before.node_of[item // (len(before.load) // before.groups)]}"
        return (
            f"Expert {item}, {share} per replica, is the heaviest{here}: it gets a {nth} replica, and each has {now}."
        )
    who = f"Item {item}" if before.what == "item" else f"Expert {item}"
    if before.replicas[item] > 1:
        who = f"A replica of expert {item}"
    where = f"GPU {place}, with {number(before.gpu_load[place])} so far," if before.gpus[place] else f"GPU {place}"
    if sizes.slots == 1:
        return f"One slot on each GPU, so there is nothing to choose: {who[0].lower()}{who[1:]} goes to GPU {place}."
    state = "is the lightest with room" if before.gpus[place] else "is still empty"
    return f"{who}, {number(before.share(item))}, is the heaviest left. {where} {state}: there it goes."
