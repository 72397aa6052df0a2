"""The picture of a plan."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from pipelab.eplb import Plan, lognormal, rebalance, zipf
from pipelab.show.backends.picture import Picture
from pipelab.show.plots.plan_plots import plot_plan


def boxes(picture: Picture) -> list[PolyCollection]:
    """The copies of experts that have one, and of those that have several."""
    return [each for each in picture.panels[0].collections if isinstance(each, PolyCollection)]


def test_every_slot_is_a_box_as_high_as_its_load() -> None:
    plan = rebalance(lognormal(1, 32, seed=0), 40, 8, 2, policy="refined")
    picture = plot_plan(plan)
    assert len(picture.panels) == 1
    single, several = boxes(picture)
    paths = [*single.get_paths(), *several.get_paths()]
    assert len(paths) == 40
    assert len(several.get_paths()) == plan.replica_count[plan.replica_count > 1].sum()
    assert several.get_hatch() and not single.get_hatch()
    top = np.zeros(8)
    for path in paths:
        (x0, _), (x1, y1) = path.vertices.min(axis=0), path.vertices.max(axis=0)
        gpu = round((x0 + x1) / 2)
        top[gpu] = max(top[gpu], y1)
    assert np.allclose(top, plan.gpu_load[0])
    assert picture.panels[0].get_ylim()[1] > plan.gpu_load.max()


def test_experts_are_named_where_there_is_room() -> None:
    plan = rebalance(zipf(1, 16, seed=0), 16, 4)
    shown = {text.get_text() for text in plot_plan(plan).panels[0].texts}
    assert shown and shown <= set(map(str, range(16)))
    assert str(int(plan.load[0].argmax())) in shown
    assert not plot_plan(rebalance(lognormal(1, 256, seed=0), 320, 160)).panels[0].texts


def test_of_several_layers_the_worst_and_an_overview() -> None:
    plan = rebalance(lognormal(6, 32, seed=0), 40, 8)
    picture = plot_plan(plan)
    above, below = picture.panels
    assert f"layer {plan.balancedness.argmin()} " in above.get_title(loc="left")
    (image,) = below.images
    assert np.allclose(image.get_array(), plan.gpu_load / plan.gpu_load.mean(axis=1, keepdims=True))
    assert "layer 3 " in plot_plan(plan, 3).panels[0].get_title(loc="left")
    for panel in picture.panels:
        assert panel.get_xlim() == (-0.5, 7.5)


def test_before_is_outlined_and_named() -> None:
    load = zipf(1, 64, 1.5, seed=0)
    plan, before = rebalance(load, 72, 8, policy="refined"), rebalance(load, 72, 8)
    picture = plot_plan(plan, before=before)
    assert "before: greedy" in [text.get_text() for text in picture.panels[-1].get_legend().get_texts()]
    assert picture.panels[0].get_ylim()[1] > before.gpu_load.max()
    with pytest.raises(ValueError, match="the previous plan has 64 replicas, not 72"):
        plot_plan(plan, before=rebalance(load, 64, 8))


def test_shows_itself_on_any_ground() -> None:
    picture = plot_plan(rebalance(np.zeros((2, 8)), 12, 4))
    assert picture.get_facecolor()[3] == 0 and all(panel.get_facecolor()[3] == 0 for panel in picture.panels)
    data, _ = picture._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")


def test_refuses() -> None:
    plan = rebalance(lognormal(2, 8, seed=0), 12, 4)
    for layer in (-1, 2):
        with pytest.raises(ValueError, match=f"layer is 0 to 1; got {layer}"):
            plot_plan(plan, layer)
    with pytest.raises(ValueError, match="no layers"):
        plot_plan(Plan.from_map(np.zeros((0, 8), dtype=int), np.zeros((0, 8)), gpus=4))
