"""Serving explorer: who gets how many tokens before and after a plan, under sliders, and on real ranks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as widgets
import numpy as np

from ...eplb import Plan, contiguous, rebalance, zipf
from ...eplb.sizes import as_load, whole
from ..backends.picture import Picture
from ..figures import kilobytes, number
from ..palette import STYLES
from ..plots.plan_plots import plot_plan
from ..plots.serving_plots import plot_serving
from .base import Live
from .controls import WIDE
from .experiment import Experiment

if TYPE_CHECKING:
    from ...runtime import Progress
    from ...serving import Serving

_POLICIES = ("greedy", "refined", "incremental")
_RANKS = (2, 4, 8)
_MAX_SKEW = 2.0
_TOKENS, _STEPS = 2048, 5
_MAX_MOVED = 0.25  # of the slots, by "incremental"
_WIDTH, _ROW, _LEFT = 640, 22, 90  # px


def explore_serving(
    loads: Any = None,
    *,
    experts: int = 16,
    ranks: int = 4,
    spare: int = 1,
    skew: float = 1.0,
    policy: str = "refined",
    pace_us: float = 150.0,
    seed: int = 0,
) -> ServingExplorer:
    """A widget: the tokens of every rank before and after a plan, and a button that serves both on real ranks.

    loads    of one layer, [experts] or [1, experts], such as recorded ones; or several such by name, to choose from.
             None: a slider for the exponent of a zipf load of so many `experts`, which begins at `skew`, from 0 to 2
    ranks    2, 4 or 8;  spare: slots of each rank beyond those that the experts need, from 0 to 4
    policy   "incremental" starts from the placement before, and may change a quarter of the slots
    pace_us  µs per token that each rank's experts are held to, so that wall time shows the balance on a few cores

    ValueError for values beyond the sliders' limits, and for loads that are none, or have several layers or fewer than
    8 experts.

    >>> explore_serving(skew=1, ranks=4)
    serving: 16 experts in 20 slots on 4 ranks, busiest 904 → 514 of 2048 tokens
    """
    if ranks not in _RANKS or spare not in range(5) or not 0 <= skew <= _MAX_SKEW or policy not in _POLICIES:
        raise ValueError(
            f"ranks must be 2, 4 or 8, spare 0 to 4, skew 0 to {_MAX_SKEW:g} and policy one of {', '.join(_POLICIES)}; "
            f"got {ranks=}, {spare=}, {skew=}, {policy=}"
        )
    if not 0 < pace_us < np.inf:
        raise ValueError(f"pace_us must be a number above 0; got {pace_us}")
    given = {} if loads is None else loads if isinstance(loads, Mapping) else {"load": loads}
    named = {name: as_load(np.atleast_2d(load), name=f"load {name!r}") for name, load in given.items()}
    for name, load in named.items() if named else [("zipf", np.ones((1, whole("experts", experts))))]:
        if len(load) != 1:
            raise ValueError(f"explore_serving shows one layer; load {name!r} has {len(load)}: take load[0], say")
        if load.shape[1] < max(_RANKS):
            raise ValueError(f"there must be {max(_RANKS)} experts or more; load {name!r} has {load.shape[1]}")
    return ServingExplorer(
        named, experts, {"ranks": ranks, "spare": spare, "skew": skew, "policy": policy}, pace_us, seed
    )


class ServingExplorer(Live):
    """What `explore_serving` returns. `before` and `after` are the plans; `found`, what the last run of them showed."""

    def __init__(
        self, loads: dict[str, np.ndarray], experts: int, values: dict[str, Any], pace_us: float, seed: int
    ) -> None:
        self.loads, self.experts, self.pace_us, self.seed = loads, experts, pace_us, seed
        self.lock = threading.RLock()
        self.found: Serving | None = None
        self.choice = widgets.Dropdown(options=[*loads], description="Load", **WIDE)
        self.skew = widgets.FloatSlider(
            values["skew"], min=0, max=_MAX_SKEW, step=0.1, description="Skew, zipf exponent", **WIDE
        )
        self.spare = widgets.IntSlider(values["spare"], min=0, max=4, description="Spare slots per rank", **WIDE)
        self.ranks = widgets.Dropdown(options=_RANKS, value=values["ranks"], description="Ranks", **WIDE)
        self.policy = widgets.Dropdown(options=_POLICIES, value=values["policy"], description="Policy", **WIDE)
        self.controls = [self.choice if loads else self.skew, self.ranks, self.spare, self.policy]
        self.bars = {name: widgets.HTML().add_class(f"pipelab-{name}") for name in ("before", "after")}
        self.table = widgets.HTML().add_class("pipelab-figures")
        self.experiment = Experiment(self._start, self._done)
        run = widgets.Box(self.experiment.widgets)
        super().__init__([*self.controls, *self.bars.values(), run, self.experiment.status, self.table])
        self.add_class("pipelab-server")
        self.take_the_place_of_the_last()
        for control in self.controls:
            control.observe(self._changed, "value")
        self._changed()

    @property
    def load(self) -> np.ndarray:
        """[1, experts], in whole tokens."""
        from ...serving.fixed_routing import counts_of

        given = self.loads[self.choice.value] if self.loads else zipf(1, self.experts, self.skew.value, seed=self.seed)
        return counts_of(given, _TOKENS)

    def __repr__(self) -> str:
        sizes, busiest = self.after.sizes, [round(plan.gpu_load.max()) for plan in (self.before, self.after)]
        return (
            f"serving: {sizes.experts} experts in {sizes.replicas} slots on {sizes.gpus} ranks, "
            f"busiest {busiest[0]} → {busiest[1]} of {_TOKENS} tokens"
        )

    def _changed(self, change: Any = None) -> None:
        with self.lock:
            load, ranks = self.load, self.ranks.value
            replicas = (-(-load.shape[1] // ranks) + self.spare.value) * ranks
            self.before: Plan = contiguous(load, ranks, replicas)
            previous = self.before if self.policy.value == "incremental" else None
            self.after: Plan = rebalance(
                load, replicas, ranks, policy=self.policy.value, previous=previous, max_moved=_MAX_MOVED
            )
            self.found = None  # it was of other plans
            self._show()

    def _show(self) -> None:
        windows = self.found.windows if self.found is not None else (None, None)
        until = float(self.before.gpu_load.max())
        for (name, bars), plan, window in zip(self.bars.items(), (self.before, self.after), windows, strict=True):
            seen = None if window is None else window.tokens[0]
            bars.value = bars_svg(plan.gpu_load[0], until, f"{name}: {plan.policy}", seen)
        self.table.value = _table(self.before, self.after, self.found)

    def _start(self, progress: Callable[[Progress], None], cancel: threading.Event) -> Any:
        from ...serving import serve

        with self.lock:
            self.running = plans = [self.before, self.after]
        given: dict[str, Any] = {"tokens": _TOKENS, "steps": _STEPS, "pace_us": self.pace_us, "seed": self.seed}
        return serve([plan.load for plan in plans], plans, **given, progress=progress, cancel=cancel)

    def _done(self, found: Any) -> None:
        with self.lock:
            if self.running == [self.before, self.after]:  # else the sliders have gone on
                self.found = found
                self._show()
            else:
                self.experiment.status.value = "the sliders have moved on: run it again"

    def still(self) -> Picture:
        """A picture of the plan, or of what the last run showed."""
        return plot_plan(self.after, before=self.before) if self.found is None else plot_serving(self.found)


def bars_svg(tokens: np.ndarray, until: float, title: str, counted: np.ndarray | None = None) -> str:
    """A bar per rank, as long as its tokens; `counted`: what a run saw, as a mark on the bar."""
    scale, mean = (_WIDTH - _LEFT - 60) / max(until, 1e-9), float(tokens.mean())
    height = _ROW * len(tokens) + 26
    style = STYLES["B" if title.startswith("before") else "F"].colour
    rows = ""
    for rank, load in enumerate(tokens):
        top, end = 22 + _ROW * rank, _LEFT + load * scale
        text = f"{number(round(load, 1))}" + ("" if counted is None else f" · {counted[rank]} served")
        rows += f'<text x="{_LEFT - 8}" y="{top + 13}" text-anchor="end" fill="currentColor">rank {rank}</text>'
        rows += f'<rect x="{_LEFT}" y="{top}" width="{load * scale:.1f}" height="{_ROW - 5}" fill="{style}"/>'
        # Inside a long bar, so that it is not cut off.
        inside = end > _WIDTH - 170
        place = (
            f'x="{end - 6:.1f}" text-anchor="end" fill="#10202E"'
            if inside
            else f'x="{end + 6:.1f}" fill="currentColor"'
        )
        rows += f'<text {place} y="{top + 13}">{text}</text>'
    line = _LEFT + mean * scale
    ends = f'x1="{line:.1f}" x2="{line:.1f}" y1="18" y2="{height - 4}"'
    rows += f'<line {ends} stroke="currentColor" stroke-dasharray="4 3"/>'
    busiest = float(tokens.max())
    heading = (
        f"{title} · tokens per rank, mean {number(mean)} (dashed) · balance {mean / busiest if busiest else 1:.3f}"
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" style="max-width:100%" role="img" '
        f'aria-label="{escape(heading)}" font-size="12" font-family="sans-serif">'
        f'<text x="{_LEFT}" y="13" fill="currentColor">{escape(heading)}</text>{rows}</svg>'
    )


def _table(before: Plan, after: Plan, found: Serving | None) -> str:
    rows = [
        ("tokens of the busiest rank", *(number(round(p.gpu_load.max(), 1)) for p in (before, after))),
        ("balance, mean / maximum", *(f"{p.balancedness[0]:.3f}" for p in (before, after))),
        ("slots whose expert comes from another rank", "", str(int(after.moves(before).sum()))),
    ]
    note = ""
    if found is not None:
        first, last = found.windows
        steps = last.pays_after(first)
        rows += [
            ("busiest rank's experts, paced", *(f"{number(w.straggler_wall)} ms" for w in (first, last))),
            ("busiest rank's experts, CPU time", *(f"{number(w.straggler)} ms" for w in (first, last))),
            ("step, paced", *(f"{number(w.step)} ms" for w in (first, last))),
            ("weights moved, in", "", f"{kilobytes(last.moved_bytes)}, {number(last.moving)} ms"),
            ("paid for after", "", f"{steps:.1f} steps" if np.isfinite(steps) else "never: steps are no shorter"),
        ]
        same = "equal those of one process" if found.equal else "<b>DIFFER from those of one process</b>"
        note = f"outputs {same} (largest difference {found.error:.1g}) · {escape(found.title)}"
        if not found.valid:
            note += " · <b>not valid as a timing: the cores could not keep the pace</b>"
    cell = '<td style="text-align:right;padding:0 24px 0 0">'
    body = "".join(
        f'<tr><td style="padding:0 24px 0 0">{name}</td>{cell}{one}</td>{cell}{other}</td></tr>'
        for name, one, other in rows
    )
    head = "".join(f'<th style="text-align:right;padding:0 24px 0 0">{name}</th>' for name in ("", "before", "after"))
    table = f'<table style="font-size:13px;line-height:1.6;border-spacing:0"><tr>{head}</tr>{body}</table>'
    return f'{table}<div style="font-size:12px">{note}</div>'
