"""The picture of a plan."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pipelab.eplb import Plan, lognormal, rebalance, zipf
from pipelab.show import plot_plan
from pipelab.show.plots.plan_plots import plan_scene
from pipelab.show.scene.shapes import Box, Scene


def scene_of(plan: Plan, layer: int | None = None, before: Plan | None = None) -> Scene:
    return plan_scene(plan, layer, before, 960)


def boxes(scene: Scene) -> dict[int, list[Box]]:
    """Of each GPU, those of the replicas that it holds."""
    found: dict[int, list[Box]] = {}
    for box in scene.boxes:
        if match := re.match(r"GPU (\d+),", box.hint):
            found.setdefault(int(match[1]), []).append(box)
    return found


def texts(scene: Scene) -> list[str]:
    return [text.text for text in scene.texts]


def test_every_slot_is_a_box_as_high_as_its_load() -> None:
    plan = rebalance(lognormal(1, 32, seed=0), 40, 8, 2, policy="refined")
    scene = scene_of(plan)
    found = boxes(scene)
    slots = [box for mine in found.values() for box in mine]
    assert len(slots) == 40
    assert sum(box.hatched for box in slots) == plan.replica_count[plan.replica_count > 1].sum()
    tracks = [box for box in scene.boxes if box.height == max(each.height for each in scene.boxes)]
    bottom = tracks[0].y + tracks[0].height
    top = np.array([bottom - min(box.y for box in found[gpu]) for gpu in range(8)])
    assert np.allclose(top / top.max(), plan.gpu_load[0] / plan.gpu_load[0].max())
    assert top.max() < tracks[0].height


def test_experts_are_named_where_there_is_room() -> None:
    plan = rebalance(zipf(1, 16, seed=0), 16, 4)

    def shown(plan: Plan) -> set[str]:
        scene = scene_of(plan)
        inside = [box for mine in boxes(scene).values() for box in mine]
        return {
            text.text
            for text in scene.texts
            for box in inside
            if box.x < text.x < box.x + box.width and box.y < text.y < box.y + box.height
        }

    assert shown(plan) and shown(plan) <= set(map(str, range(16)))
    assert str(int(plan.load[0].argmax())) in shown(plan)
    assert not shown(rebalance(lognormal(1, 256, seed=0), 320, 160))


def test_of_several_layers_the_worst_and_an_overview() -> None:
    plan = rebalance(lognormal(6, 32, seed=0), 40, 8)
    scene = scene_of(plan)
    assert f"layer {plan.balancedness.argmin()} " in texts(scene)[0]
    hints = {box.hint: box for box in scene.boxes if box.hint.startswith("layer")}
    ratio = plan.gpu_load / plan.gpu_load.mean(axis=1, keepdims=True)
    assert list(hints) == [f"layer {i}, GPU {gpu}: {each:.4f} of the mean" for (i, gpu), each in np.ndenumerate(ratio)]
    assert "layer 3 " in texts(scene_of(plan, 3))[0]
    columns = [mine[0] for mine in boxes(scene).values()]
    for column, box in zip(columns, hints.values(), strict=False):  # the overview's boxes lie below their GPUs' columns
        assert column.x + column.width / 2 == pytest.approx(box.x + box.width / 2)


def test_before_is_outlined_and_named() -> None:
    load = zipf(1, 64, exponent=1.5, seed=0)
    plan, before = rebalance(load, 72, 8, policy="refined"), rebalance(load, 72, 8)
    scene = scene_of(plan, before=before)
    assert "before: greedy" in texts(scene)
    lines = [line for line in scene.lines if line.width == 2]
    assert len(lines) == 8
    assert min(line.y0 for line in lines) > min(box.y for box in scene.boxes)  # below the top of the tracks
    with pytest.raises(ValueError, match="the previous plan has 64 replicas, not 72"):
        plot_plan(plan, before=rebalance(load, 64, 8))


def test_shows_itself_on_any_ground() -> None:
    picture = plot_plan(rebalance(np.zeros((2, 8)), 12, 4))
    assert picture.get_facecolor()[3] == 0 and all(panel.get_facecolor()[3] == 0 for panel in picture.panels)
    data, _ = picture._repr_mimebundle_()
    assert data["image/png"].startswith(b"\x89PNG")


def test_refuses() -> None:
    plan = rebalance(lognormal(2, 8, seed=0), 12, 4)
    for layer, said in ((-1, "layer must be at least 0; got -1"), (2, "layer is 0 to 1; got 2")):
        with pytest.raises(ValueError, match=said):
            plot_plan(plan, layer=layer)
    with pytest.raises(ValueError, match="no layers"):
        plot_plan(Plan.from_map(np.zeros((0, 8), dtype=int), np.zeros((0, 8)), gpus=4))
