"""Who gets how many tokens before and after a plan, under sliders, and on real ranks at a button."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...amounts import at_least
from ...eplb import Plan, contiguous, rebalance, zipf
from ...eplb.sizes import as_layers
from ...simulator import Costs
from ...table import Table
from ..backends.picture import Picture
from ..backends.svg import scene_svg
from ..figures import kilobytes, number
from ..palette import LABEL, STYLES
from ..plots.plan_plots import plot_plan
from ..plots.serving_plots import plot_serving
from ..scene.placement_scene import titled
from ..scene.shapes import PAGE, WIDTH, Box, Line, Scene, Text
from .base import Explorer, choice, html, row, slider

if TYPE_CHECKING:
    from ...serving import Serving

_POLICIES = ("greedy", "refined", "incremental")
_RANKS = (2, 4, 8)
_MAX_SKEW = 2.0
_TOKENS, _STEPS = 2048, 5
_PACE = Costs(forward=150, unit="us")
_MAX_MOVED = 0.25  # of the slots, by "incremental"
_ROW, _LEFT = 22, 66  # units


def explore_serving(
    loads: Any = None,
    *,
    experts: int = 16,
    ranks: int = 4,
    spare: int = 1,
    skew: float = 1.0,
    policy: str = "refined",
    pace: Costs = _PACE,
    seed: int = 0,
) -> ServingExplorer:
    """A widget: the tokens of every rank before and after a plan, and a button that serves both on real ranks.

    Parameters
    ----------
    loads : array, or mapping of str to array
        Of one layer, [experts] or [1, experts], such as recorded ones; or several such by name, to choose from. By
        default a slider for the exponent of a zipf load.
    experts : int
        Of the zipf load.
    ranks : int
        To begin with: 2, 4 or 8.
    spare : int
        To begin with: slots of each rank beyond those that the experts need, from 0 to 4.
    skew : float
        To begin with: the exponent, from 0 to 2.
    policy : str
        To begin with: "greedy", "refined" or "incremental", which starts from the placement before and may change a
        quarter of the slots.
    pace : Costs
        Its `forward` is what a token costs on its expert: each rank's experts are held to it, so that wall time shows
        the balance on a few cores.
    seed : int
        Of the zipf load, and of the run.

    Raises
    ------
    ValueError
        For values beyond the sliders' limits, and for a load with a value that is not a number, with several layers,
        or with fewer than 8 experts.

    Examples
    --------
    >>> explore_serving(skew=1, ranks=4)
    serving: 16 experts in 20 slots on 4 ranks, busiest 904 → 514 of 2048 tokens
    """
    ranks, spare = at_least(0, ranks, "ranks"), at_least(0, spare, "spare")
    if ranks not in _RANKS or spare not in range(5) or not 0 <= skew <= _MAX_SKEW or policy not in _POLICIES:
        raise ValueError(
            f"ranks must be 2, 4 or 8, spare 0 to 4, skew 0 to {_MAX_SKEW:g} and policy one of {', '.join(_POLICIES)}; "
            f"got {ranks=}, {spare=}, {skew=}, {policy=}"
        )
    if not isinstance(pace, Costs) or not pace.in_unit("us").forward:
        raise ValueError(f'pace must be Costs with a forward above 0, such as Costs(150, unit="us"); got {pace!r}')
    given = {} if loads is None else loads if isinstance(loads, Mapping) else {"load": loads}
    named = {name: as_layers(load, name=f"load {name!r}") for name, load in given.items()}
    for name, load in named.items() if named else [("zipf", np.ones((1, experts := at_least(1, experts, "experts"))))]:
        if len(load) != 1:
            raise ValueError(f"explore_serving shows one layer; load {name!r} has {len(load)}: take load[0], say")
        if load.shape[1] < max(_RANKS):
            raise ValueError(f"there must be {max(_RANKS)} experts or more; load {name!r} has {load.shape[1]}")
    return ServingExplorer(named, experts, {"ranks": ranks, "spare": spare, "skew": skew, "policy": policy}, pace, seed)


class ServingExplorer(Explorer):
    """What `explore_serving` returns. before, after: plans;  result: a Serving, what the last run of them showed."""

    def __init__(
        self, loads: dict[str, np.ndarray], experts: int, values: dict[str, Any], pace: Costs, seed: int
    ) -> None:
        super().__init__("server")
        self.loads, self.experts, self.pace, self.seed = loads, experts, pace, seed
        self.choice = choice("Load", loads)
        self.skew = slider("Skew, zipf exponent", values["skew"], 0, _MAX_SKEW, 0.1)
        self.spare = slider("Spare slots per rank", values["spare"], 0, 4)
        self.ranks = choice("Ranks", _RANKS, values["ranks"])
        self.policy = choice("Policy", _POLICIES, values["policy"])
        controls = [self.choice if loads else self.skew, self.ranks, self.spare, self.policy]
        self.bars, self.table = {name: html(name) for name in ("before", "after")}, html("figures")
        run = [row(*self.experiment.widgets), self.experiment.status]
        self.fill([*controls, *self.bars.values(), *run, self.table], controls)

    @property
    def settings(self) -> tuple[Any, ...]:
        return tuple(each.value for each in (self.choice, self.skew, self.ranks, self.spare, self.policy))

    @property
    def load(self) -> np.ndarray:
        """[1, experts], in whole tokens."""
        from ...serving.fixed_routing import counts_of

        if self.loads:
            return counts_of(self.loads[self.choice.value], _TOKENS)
        return counts_of(zipf(1, self.experts, exponent=self.skew.value, seed=self.seed), _TOKENS)

    def __repr__(self) -> str:
        sizes, busiest = self.after.sizes, [round(plan.gpu_load.max()) for plan in (self.before, self.after)]
        return (
            f"serving: {sizes.experts} experts in {sizes.replicas} slots on {sizes.gpus} ranks, "
            f"busiest {busiest[0]} → {busiest[1]} of {_TOKENS} tokens"
        )

    def draw(self, change: Any) -> None:
        load, ranks = self.load, self.ranks.value
        replicas = (-(-load.shape[1] // ranks) + self.spare.value) * ranks
        self.before: Plan = contiguous(load, replicas, ranks)
        given = {"policy": self.policy.value, "max_moved": _MAX_MOVED}
        previous = self.before if given["policy"] == "incremental" else None
        self.after: Plan = rebalance(load, replicas, ranks, previous=previous, **given)
        until = float(self.before.gpu_load.max())
        windows = self.fresh.windows if self.fresh else (None, None)
        for (name, bars), plan, window in zip(self.bars.items(), (self.before, self.after), windows, strict=True):
            seen = None if window is None else window.tokens[0]
            scene = bars_scene(plan.gpu_load[0], until, f"{name}: {plan.policy}", seen)
            bars.value = scene_svg(scene, scene.texts[0].text)
        self.table.value = _table(self.before, self.after, self.fresh)._repr_html_()

    def fail(self, markup: str) -> None:
        self.table.value = markup

    def job(self) -> Callable[..., Serving]:
        from ...serving import serve

        plans = [self.before, self.after]
        given: dict[str, Any] = {"tokens": _TOKENS, "steps": _STEPS, "pace": self.pace, "seed": self.seed}
        return partial(serve, [plan.load for plan in plans], plans, **given)

    def still(self) -> Picture:
        return plot_plan(self.after, before=self.before) if self.fresh is None else plot_serving(self.fresh)


def bars_scene(tokens: np.ndarray, until: float, title: str, counted: np.ndarray | None = None) -> Scene:
    """A bar per rank, as long as its tokens; `counted`: what a run saw, beside it."""
    scale, mean, busiest = (WIDTH - _LEFT - 60) / max(until, 1e-9), float(tokens.mean()), float(tokens.max())
    balance = f"balance {mean / busiest if busiest else 1:.3f}"
    scene = titled(f"{title} · tokens per rank, mean {number(mean)} (dashed) · {balance}")
    scene.texts[0] = scene.texts[0]._replace(x=_LEFT)
    fill = STYLES["B" if title.startswith("before") else "F"].colour
    for rank, load in enumerate(tokens):
        top, end = 22 + _ROW * rank, _LEFT + load * scale
        text = number(round(load, 1)) + ("" if counted is None else f" · {counted[rank]} served")
        inside = end > WIDTH - 170  # of a long bar, so that it is not cut off
        scene.boxes.append(Box(_LEFT, top, load * scale, _ROW - 5, fill))
        scene.texts.append(Text(_LEFT - 8, top + 13, f"rank {rank}", "end", 12))
        place = (end - 6, top + 13, text, "end") if inside else (end + 6, top + 13, text, "start")
        scene.texts.append(Text(*place, 12, LABEL if inside else PAGE))
    scene.height = _ROW * len(tokens) + 26
    scene.lines.append(Line(_LEFT + mean * scale, 18, _LEFT + mean * scale, scene.height - 4, dash="4 3"))
    return scene


def _table(before: Plan, after: Plan, found: Serving | None) -> Table:
    rows: list[tuple[Any, ...]] = [
        ("tokens of the busiest rank", *(number(round(p.gpu_load.max(), 1)) for p in (before, after))),
        ("balance, mean / maximum", *(f"{p.balancedness[0]:.3f}" for p in (before, after))),
        ("slots whose expert comes from another rank", None, int(after.moves(before).sum())),
    ]
    notes = []
    if found is not None:
        first, last = found.windows
        steps = last.pays_after(first)
        paid = f"{steps:.1f} steps" if np.isfinite(steps) else "never: steps are no shorter"
        rows += [
            ("busiest rank's experts, paced", *(f"{number(w.straggler_wall)} ms" for w in (first, last))),
            ("busiest rank's experts, CPU time", *(f"{number(w.straggler)} ms" for w in (first, last))),
            ("step, paced", *(f"{number(w.step)} ms" for w in (first, last))),
            ("weights moved, in", None, f"{kilobytes(last.moved_bytes)}, {number(last.moving)} ms"),
            ("paid for after", None, paid),
        ]
        same = "equal those of one process" if found.equal else "DIFFER from those of one process"
        notes = [f"outputs {same} (largest difference {found.error:.1g}) · {found.title}"]
        if not found.valid:
            notes.append("not valid as a timing: the cores could not keep the pace")
    sides = {"before": "right", "after": "right"}
    return Table(rows, ["", *sides], align=sides, notes=notes)
