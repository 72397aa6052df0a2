"""Experts served before and after a plan: pictures of what was measured, and the widget with its button."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipelab import Costs, rebalance
from pipelab.eplb import contiguous, drifting, zipf
from pipelab.serving import Serving, serve
from pipelab.show import explore_serving, plot_rebalancing, plot_serving

SMALL: dict[str, Any] = {"ranks": 2, "tokens": 200, "steps": 1, "width": 8, "hidden": 16}


@pytest.fixture(scope="module")
def moved() -> Serving:
    load = zipf(2, 8, seed=0)
    plans = [contiguous(load, 10, 2), rebalance(load, 10, 2, policy="refined")]
    return serve([load, load], plans, **SMALL)


@pytest.fixture(scope="module")
def online() -> dict[str, Serving]:
    loads = drifting(5, 1, 8, seed=0)
    given = {**SMALL, "replicas": 10}
    return {"never": serve(loads, **given), "often": serve(loads, policy="refined", every=2, **given)}


def test_bars_are_what_was_measured(moved: Serving) -> None:
    before, after = moved.windows
    picture = plot_serving(moved, layer=1)
    for axes, name in zip(picture.panels, ("tokens", "compute"), strict=True):
        found = [[bar.get_height() for bar in bars] for bars in axes.containers]
        assert found == [getattr(window, name)[1].tolist() for window in (before, after)]
    lines = [segment[0][1] for lines in picture.panels[0].collections for segment in lines.get_segments()]
    assert lines == [*before.plan.gpu_load[1], *after.plan.gpu_load[1]]
    assert "CPU time" in picture.panels[1].get_title(loc="left")


def test_windows_and_servings_are_drawn_alike(moved: Serving) -> None:
    whole, apart = plot_serving(moved), plot_serving(*moved.windows)
    assert [axes.get_title(loc="left") for axes in whole.panels] == [
        axes.get_title(loc="left") for axes in apart.panels
    ]


def test_a_paced_picture_says_so() -> None:
    load = zipf(1, 8, seed=0)
    picture = plot_serving(serve(load, pace=Costs(20, unit="us"), **SMALL))
    assert "paced" in picture.panels[1].get_title(loc="left")


def test_curves_and_moments_are_the_servings(online: dict[str, Serving]) -> None:
    balance, step, saved = plot_rebalancing(online).panels
    never, often = online.values()
    for line, serving in zip(step.lines, (never, often), strict=True):
        assert list(line.get_ydata()) == [window.step for window in serving.windows]
        assert line.get_markevery() == list(serving.replanned)
    assert often.replanned == (2, 4)
    assert [*balance.lines[1].get_ydata()] == [window.balancedness for window in often.windows]
    assert np.allclose(saved.lines[1].get_ydata(), never.totals - often.totals)
    assert not np.any(saved.lines[0].get_ydata())
    assert len(plot_rebalancing(often).panels) == 2


def test_what_can_not_be_drawn(moved: Serving, online: dict[str, Serving]) -> None:
    with pytest.raises(ValueError, match="layer is 0 to 1; got 2"):
        plot_serving(moved, layer=2)
    with pytest.raises(ValueError, match="both need the same layers and ranks"):
        plot_serving(moved, online["never"])
    with pytest.raises(ValueError, match="of as many windows each"):
        plot_rebalancing({"moved": moved, **online})
    with pytest.raises(ValueError, match="1 to 5 servings"):
        plot_rebalancing({})


def test_sliders_change_plans_and_bars() -> None:
    explorer = explore_serving(skew=1, ranks=4, spare=1)
    shown = explorer.bars["after"].value
    assert explorer.after.sizes.replicas == 20 and explorer.before.load.sum() == 2048
    explorer.spare.value = 0
    assert explorer.after.sizes.replicas == 16
    explorer.ranks.value = 8
    assert explorer.bars["after"].value.count("<rect") == 8
    explorer.skew.value = 0
    assert explorer.before.balancedness[0] == 1
    explorer.policy.value = "incremental"
    assert explorer.after.policy == "incremental" and explorer.bars["after"].value != shown


def test_loads_by_name() -> None:
    explorer = explore_serving({"even": np.ones(8), "one": np.eye(8)[:1]}, ranks=2)
    assert repr(explorer).startswith("serving: 8 experts in 10 slots on 2 ranks, busiest 1024")
    explorer.choice.value = "one"
    assert explorer.before.gpu_load.max() == 2048


def test_without_a_kernel_there_is_a_picture() -> None:
    bundle = explore_serving()._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBOR") and bundle["text/plain"].startswith("serving: 16 experts")


@pytest.mark.parametrize(
    "wrong", [{"ranks": 3}, {"spare": 5}, {"skew": -1}, {"policy": "magic"}, {"experts": 4}, {"pace": Costs(0)}]
)
def test_values_beyond_the_sliders(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        explore_serving(**wrong)


def test_loads_that_are_none() -> None:
    with pytest.raises(ValueError, match="load 'bad' must be finite"):
        explore_serving({"bad": [float("nan")] * 8})
    with pytest.raises(ValueError, match=r"shows one layer; load 'load' has 2: take load\[0\], say"):
        explore_serving(np.ones((2, 8)))
    assert explore_serving(np.ones(8)).before.load.shape == (1, 8)


def test_the_button_serves_both_on_real_ranks() -> None:
    explorer = explore_serving(ranks=4, pace=Costs(30, unit="us"))
    explorer.experiment.button.click()
    explorer.experiment.wait(90)
    assert explorer.experiment.status.value == ""
    assert explorer.fresh is not None and explorer.fresh.equal
    before, after = explorer.fresh.windows
    assert after.straggler_tokens < before.straggler_tokens
    assert f"{before.tokens[0][0]} served" in explorer.bars["before"].value
    assert "equal those of one process" in explorer.table.value and "paced" in explorer.table.value
    explorer.skew.value = 0.5  # the run was of another load
    assert explorer.fresh is None and "served" not in explorer.bars["before"].value
    explorer.close()
