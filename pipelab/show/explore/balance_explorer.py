"""One layer's experts on GPUs, under sliders for replicas, GPUs, nodes, groups and skew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np

from ...amounts import at_least
from ...eplb import Plan, contiguous, lognormal, rebalance, zipf
from ...eplb.sizes import as_layers
from ...table import Table
from ..backends.drawing import scene_picture
from ..backends.picture import Picture
from ..backends.svg import scene_svg
from ..scene.placement_scene import Allocation, draw_experts, draw_gpus, draw_legend, titled
from ..scene.shapes import Scene
from .base import WIDE, Explorer, choice, html, row, slider

NO_COPIES = "no copies"
_POLICIES = (NO_COPIES, "greedy", "refined")
CONTROLS = ("load", "skew", "layer", "replicas", "gpus", "nodes", "groups", "policy")
_SIZES = ("replicas", "gpus", "nodes", "groups")
_EXPERTS, _TOKENS = 32, 4096  # of the loads that the skew slider makes
_SAMPLE: dict[str, int] = {"seed": 0, "tokens": _TOKENS}
_MADE: dict[str, Callable[[float], np.ndarray]] = {
    "zipf": lambda skew: zipf(1, _EXPERTS, exponent=skew, **_SAMPLE),
    "lognormal": lambda skew: lognormal(1, _EXPERTS, sigma=skew, **_SAMPLE),
}
_MOST_GPUS, _MOST_NODES, _MORE = 32, 8, 8  # _MORE: further slots on each GPU


def explore_balance(
    load: Any = None,
    replicas: int = 40,
    gpus: int = 8,
    nodes: int = 1,
    groups: int = 1,
    *,
    policy: str = "greedy",
    skew: float = 1.0,
    controls: Iterable[str] | None = None,
) -> BalanceExplorer:
    """A widget: which expert has replicas, which GPU holds which, and how even that is, under sliders.

    Sizes that do not fit together snap to the nearest that do, and the widget says so; once a slider has moved, only of
    those that have a slider.

    Parameters
    ----------
    load : array, or mapping of str to array
        [layers, experts] or [experts], or several such by name, to choose from. By default loads of 32 experts made by
        rule, with a slider for their skew.
    replicas, gpus, nodes, groups : int
        The sizes to begin with.
    policy : str
        To begin with: "no copies", "greedy" or "refined".
    skew : float
        To begin with: zipf's exponent, lognormal's sigma.
    controls : iterable of str, optional
        Which to show, of "load", "skew", "layer", "replicas", "gpus", "nodes", "groups", "policy"; by default all that
        have a choice.

    Raises
    ------
    ValueError
        For an unknown policy or control, and for a load with a value that is negative or not a number.

    Examples
    --------
    >>> explore_balance([8, 3, 1, 2], replicas=6, gpus=2)
    balance: greedy, 4 experts as 6 replicas on 2 GPUs, balancedness 0.955
    """
    sizes = dict(zip(_SIZES, (replicas, gpus, nodes, groups), strict=True))
    begin = {name: at_least(1, size, name) for name, size in sizes.items()}
    return BalanceExplorer(load, begin, policy, skew, controls)


class BalanceExplorer(Explorer):
    """What `explore_balance` returns. plan: what is shown, one layer;  plans: by every policy;  sliders: by name."""

    def __init__(
        self, load: Any, sizes: dict[str, int], policy: str, skew: float, controls: Iterable[str] | None
    ) -> None:
        if policy not in _POLICIES:
            raise ValueError(f"policy must be one of {', '.join(_POLICIES)}; got {policy!r}")
        shown = list(CONTROLS if controls is None else controls)
        if unknown := [name for name in shown if name not in CONTROLS]:
            raise ValueError(f"there is no control {unknown[0]!r}; there are {', '.join(CONTROLS)}")
        super().__init__("balance")
        self.loads, self.told, self.said = _named(load), {*_SIZES}, ""
        self.plans: dict[str, Plan] = {}
        self.sliders = self._made(sizes["nodes"], policy, skew)
        self.wanted = sizes  # where the reader has put the sliders
        self.note, self.picture, self.table = map(html, ("note", "plan", "figures"))
        bar = row(*(self.sliders[name] for name in shown if self._has_choice(name)))
        self.fill([bar, self.note, self.picture, self.table], self.sliders.values())
        self.told &= {*shown}  # who has no slider for a size did not ask for one

    def _made(self, nodes: int, policy: str, skew: float) -> dict[str, Any]:
        return {
            "load": choice("Load", self.loads),
            "skew": slider("Skew", skew, 0, 3, 0.1, readout_format=".1f"),
            "layer": slider("Layer", 0, 0, 0),
            "replicas": slider("Replicas", 1, 1, 1),
            "gpus": slider("GPUs", 1, 1, 1),
            "nodes": slider("Nodes", 1, 1, max(nodes, _MOST_NODES)),
            "groups": widgets.SelectionSlider(options=[1], description="Groups", **WIDE),
            "policy": choice("Policy", _POLICIES, policy),
        }

    def _has_choice(self, name: str) -> bool:
        layers = [0 if load is None else len(load) for load in self.loads.values()]  # 0: made with the skew
        choices = {"load": len(layers) > 1, "skew": 0 in layers, "layer": max(layers) > 1}
        return choices.get(name, True)

    # -- sizes that fit together -------------------------------------------------------------------------------------

    def value(self, name: str) -> Any:
        return self.sliders[name].value

    @property
    def load(self) -> np.ndarray:
        """[1, experts]: what the GPUs get."""
        found = self.loads[self.value("load")]
        if found is None:
            return _MADE[self.value("load")](self.value("skew"))
        layer = min(self.value("layer"), len(found) - 1)
        return found[layer : layer + 1]

    def _fit(self) -> None:
        """Set the sliders to the sizes nearest to the wanted ones that fit together, and their limits with them."""
        replicas, gpus, nodes, groups = self.wanted.values()
        known = self.loads[self.value("load")]
        _limit(self.sliders["layer"], 0, 0 if known is None else len(known) - 1, 1, self.value("layer"))
        self.sliders["layer"].disabled = self.sliders["layer"].max == 0
        self.sliders["skew"].disabled = known is not None
        experts = self.load.shape[1]
        nodes = min(max(1, nodes), self.sliders["nodes"].max, experts)
        self.sliders["nodes"].value = nodes
        most = max(nodes, min(experts, max(_MOST_GPUS, gpus)) // nodes * nodes)
        gpus = _limit(self.sliders["gpus"], nodes, most, nodes, gpus)
        least = -(-experts // gpus) * gpus
        replicas = _limit(self.sliders["replicas"], least, least + _MORE * gpus, gpus, replicas)
        divisors = [each for each in range(1, experts + 1) if experts % each == 0]
        groups = min(divisors, key=lambda each: (abs(each - groups), each))
        if list(self.sliders["groups"].options) != divisors:
            self.sliders["groups"].options = divisors
        self.sliders["groups"].value = groups
        names = (
            f"replicas: from {least} on, in steps of {gpus}, as each of {gpus} GPUs has the same number of slots",
            f"GPUs: a multiple of {nodes} nodes, at most one for each of {experts} experts",
            f"nodes: at most one for each of {experts} experts",
            f"groups: a divisor of {experts} experts",
        )
        found = (replicas, gpus, nodes, groups)
        snapped = [
            f"{name} ({before} → {after})"
            for size, name, before, after in zip(_SIZES, names, self.wanted.values(), found, strict=True)
            if before != after and size in self.told
        ]
        self.said = "; ".join(snapped)

    # -- drawing -----------------------------------------------------------------------------------------------------

    @property
    def plan(self) -> Plan:
        return self.plans[self.value("policy")]

    def draw(self, change: Any) -> None:
        if change is not None:
            self.wanted |= {name: change.new for name in _SIZES if change.owner is self.sliders[name]}
        self._fit()
        load = self.load
        sizes = [self.value(name) for name in _SIZES]
        self.plans = {NO_COPIES: contiguous(load, *sizes)}
        self.plans |= {policy: rebalance(load, *sizes, policy=policy) for policy in _POLICIES[1:]}
        self.note.value = f'<div style="min-height:20px;font-size:12px"><i>{escape(self._remark())}</i></div>'
        self.picture.value = scene_svg(self._scene(), repr(self))
        self.table.value = _table(self.plans, self.value("policy"))._repr_html_()

    def _remark(self) -> str:
        """What was snapped, and which policy the groups lead to."""
        nodes, groups = self.value("nodes"), self.value("groups")
        said = [self.said] if self.said else []
        if nodes > 1 and groups % nodes:
            right = [each for each in self.sliders["groups"].options if each % nodes == 0]
            way = f"with {' or '.join(map(str, right[:3]))} groups they would stay together" if right else ""
            said.append(
                f"{groups} group{'s' * (groups > 1)} on {nodes} nodes: global, any GPU may hold any expert"
                + (f"; {way}" if way else "")
            )
        elif nodes > 1:
            each = f"{groups // nodes} whole group{'s' * (groups > nodes)}"
            said.append(f"{groups} groups on {nodes} nodes: hierarchical, {each} on each node")
        return " · ".join(said)

    def _scene(self, title: str = "") -> Scene:
        allocation, scene = Allocation.of(self.plan, 0), titled(title) if title else Scene()
        if self.value("policy") == NO_COPIES:  # a second one beside the first takes nothing off any GPU: leave it out
            allocation.replicas = [1] * len(allocation.load)
            allocation.gpus = [sorted({*held}) for held in allocation.gpus]
        draw_experts(scene, allocation, max(allocation.load))
        mean, bound = self.plan.gpu_load[0].mean(), self.plan.lower_bound[0]
        most = max(1.5 * mean, 1.05 * self.plan.gpu_load[0].max())
        draw_gpus(scene, allocation, float(most), float(mean), float(bound), busiest=True)
        draw_legend(scene, replicas=max(allocation.replicas) > 1)
        return scene

    def __repr__(self) -> str:
        sizes = self.plan.sizes
        on = f"{sizes.gpus} GPUs" + (f" of {sizes.nodes} nodes" if sizes.nodes > 1 else "")
        replicas = "" if self.value("policy") == NO_COPIES else f" as {sizes.replicas} replicas"
        return (
            f"balance: {self.value('policy')}, {sizes.experts} experts{replicas} on {on}, "
            f"balancedness {self.plan.balancedness[0]:.3f}"
        )

    def still(self) -> Picture:
        return scene_picture(self._scene(f"{self!r} · run the cell for sliders"))


def _named(load: Any) -> dict[str, np.ndarray | None]:
    """Loads [layers, experts] by name; None where the skew slider makes them."""
    if load is None:
        return dict.fromkeys(_MADE)
    named = load if isinstance(load, Mapping) else {"load": load}
    if not named:
        raise ValueError("there is no load to choose from")
    found = {name: as_layers(each) for name, each in named.items()}
    if empty := [name for name, each in found.items() if not len(each)]:
        raise ValueError(f"the load {empty[0]!r} has no layers")
    return dict(found)


def _limit(slider: Any, least: int, most: int, step: int, value: int) -> int:
    """Give a slider these limits, in an order that it takes, and the nearest value within them."""
    value = min(max(least + round((value - least) / step) * step, least), most)
    with slider.hold_sync():  # in one message: the page would answer limits that come alone with another value
        slider.min = min(slider.min, least)
        slider.max = max(slider.max, most)
        slider.step, slider.value = step, value
        slider.min, slider.max = least, most
    return value


def _table(plans: Mapping[str, Plan], chosen: str) -> Table:
    rows = [
        {
            "": name,
            "balancedness": plan.balancedness[0],
            "at most": plan.attainable[0],
            "busiest GPU": plan.gpu_load[0].argmax(),
            "its load": plan.gpu_load[0].max(),
            "mean": plan.gpu_load[0].mean(),
            "most replicas": 1 if name == NO_COPIES else plan.replica_count[0].max(),
        }
        for name, plan in plans.items()
    ]
    meanings = {
        "balancedness": "the GPUs' mean load / the busiest one's: 1 is even",
        "at most": "no plan of these sizes exceeds it; it may be out of reach",
        "its load": "the step lasts as long as this GPU needs",
        "most replicas": "of one expert",
    }
    formats = dict.fromkeys(("balancedness", "at most"), ".3f")
    return Table(rows, meanings=meanings, formats=formats, emphasis=lambda row: row[""] == chosen)
