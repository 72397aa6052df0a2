"""The balancer under sliders: whatever they are set to, there is a plan, and the picture shows it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from pipelab import rebalance
from pipelab.eplb import lognormal, one_hot, zipf
from pipelab.show import explore_algorithm, explore_balance, explore_serving

NAMED = {"uneven": zipf(2, 12, exponent=1.5, seed=0), "one expert": one_hot(1, 6, seed=0), "nothing": np.zeros((1, 8))}
MOVES = st.one_of(
    st.tuples(st.sampled_from(["replicas", "gpus", "nodes", "layer"]), st.floats(0, 1)),
    st.tuples(st.sampled_from(["load", "policy", "groups"]), st.floats(0, 1)),
)


def move(explorer, name, share):
    """A slider to that share of its way."""
    slider = explorer.sliders[name]
    if hasattr(slider, "options"):
        slider.value = slider.options[min(int(share * len(slider.options)), len(slider.options) - 1)]
    else:
        slider.value = slider.min + round(share * (slider.max - slider.min))


def fits(explorer):
    sizes = explorer.plan.sizes
    values = {name: explorer.value(name) for name in ("replicas", "gpus", "nodes", "groups")}
    return values == {name: getattr(sizes, name) for name in values} and "<svg" in explorer.picture.value


@given(st.lists(MOVES, max_size=8))
@settings(max_examples=40, deadline=None)
def test_sliders_that_do_not_fit_together_snap(moves):
    explorer = explore_balance(NAMED, replicas=18, gpus=3)
    for name, share in moves:
        move(explorer, name, share)
        assert fits(explorer), (name, share)
        assert f"balancedness {explorer.plan.balancedness[0]:.3f}" in explorer.picture.value


def test_what_has_snapped_is_said():
    explorer = explore_balance(zipf(1, 12, exponent=1, seed=0), replicas=18, gpus=6)
    assert explorer.said == ""
    explorer.sliders["gpus"].value = 4
    assert (explorer.value("replicas"), explorer.plan.sizes.gpus) == (20, 4)
    assert "in steps of 4, as each of 4 GPUs has the same number of slots (18 → 20)" in explorer.note.value
    explorer.sliders["nodes"].value = 3
    assert explorer.value("gpus") == 3
    assert "a multiple of 3 nodes, at most one for each of 12 experts (4 → 3)" in explorer.note.value
    assert "1 group on 3 nodes: global, any GPU may hold any expert; with 3 or 6 or 12 groups" in explorer.note.value
    explorer.sliders["groups"].value = 6
    assert "6 groups on 3 nodes: hierarchical, 2 whole groups on each node" in explorer.note.value


def test_nothing_is_said_of_a_size_without_a_slider_once_one_has_moved():
    explorer = explore_balance(zipf(1, 12, exponent=1, seed=0), replicas=15, gpus=4, controls=["gpus"])
    assert "(15 → 16)" in explorer.note.value  # as given: whoever wrote that should know
    explorer.sliders["gpus"].value = 6
    assert (explorer.plan.sizes.replicas, explorer.said) == (12, "")


def test_what_the_reader_wanted_comes_back_once_it_fits():
    explorer = explore_balance(replicas=40, gpus=8)
    seen = []
    for nodes in (3, 5, 4):
        explorer.sliders["nodes"].value = nodes
        seen.append((explorer.value("gpus"), explorer.value("replicas")))
    assert seen == [(9, 36), (10, 40), (8, 40)]
    assert explorer.said == ""
    explorer.sliders["gpus"].value = 12
    explorer.sliders["nodes"].value = 1
    assert (explorer.value("gpus"), explorer.value("replicas")) == (12, 36)


def test_each_slider_changes_picture_and_figures():
    explorer = explore_balance(skew=1.0)
    for name, value in (
        ("skew", 1.5),
        ("replicas", 48),
        ("gpus", 16),
        ("nodes", 4),
        ("groups", 8),
        ("policy", "refined"),
        ("load", "lognormal"),
    ):
        before = explorer.picture.value, explorer.table.value
        explorer.sliders[name].value = value
        assert (explorer.picture.value, explorer.table.value)[0] != before[0], name
    load = lognormal(1, 32, sigma=1.5, seed=0, tokens=4096)
    plan = rebalance(load, 48, 16, 4, 8, policy="refined")
    assert np.array_equal(explorer.plan.physical_to_logical, plan.physical_to_logical)
    for figure in (f"{plan.balancedness[0]:.3f}", f"{plan.attainable[0]:.3f}", str(plan.replica_count.max())):
        assert f">{figure}</td>" in explorer.table.value


def test_layers_and_recorded_loads_by_name():
    explorer = explore_balance(NAMED, 16, 4)
    assert not explorer.sliders["layer"].disabled
    explorer.sliders["layer"].value = 1
    assert np.array_equal(explorer.plan.load, NAMED["uneven"][1:])
    explorer.sliders["load"].value = "nothing"
    assert explorer.sliders["layer"].disabled
    assert "balancedness 1.000" in repr(explorer)


def test_no_copies_shows_one_of_each():
    explorer = explore_balance(NAMED, 24, 4, policy="no copies")
    assert "the busiest GPU" in explorer.picture.value  # the legend
    assert not any(text in explorer.picture.value for text in ("×", "each replica", "one of several"))
    assert "12 experts on 4 GPUs" in repr(explorer)


def test_only_controls_with_a_choice_are_shown():
    shown = explore_balance([3, 1, 2, 4], 8, 2).children[0].children
    assert [each.description for each in shown] == ["Replicas", "GPUs", "Nodes", "Groups", "Policy"]
    shown = explore_balance(controls=["skew", "policy"]).children[0].children
    assert [each.description for each in shown] == ["Skew", "Policy"]


def test_an_error_is_seen_in_the_pictures_place():
    explorer = explore_balance([3, 1, 2, 4], 8, 2)
    explorer.loads = {"load": np.full((1, 4), np.nan)}
    explorer.sliders["policy"].value = "refined"
    assert "load must be finite and not negative" in explorer.picture.value
    explorer.loads = {"load": np.ones((1, 4))}
    explorer.sliders["policy"].value = "greedy"
    assert "<svg" in explorer.picture.value


def test_without_a_kernel_there_is_a_picture():
    bundle = explore_balance(zipf(1, 256, exponent=1.2, seed=0), 288, 32)._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBOR")
    assert bundle["text/plain"].startswith("balance: greedy, 256 experts as 288 replicas on 32 GPUs, balancedness 0.")


@pytest.mark.parametrize("explore", [explore_algorithm, explore_balance, explore_serving])
@pytest.mark.parametrize("shape", [(8,), (1, 8)], ids=str)
def test_a_load_may_be_any_tensor(explore, shape):
    load = torch.arange(1, 9, dtype=torch.bfloat16).reshape(shape)  # numpy has no such type
    assert repr(explore(load)) == repr(explore(load.tolist()))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"policy": "random"}, "policy must be one of no copies, greedy, refined; got 'random'"),
        ({"controls": ["speed"]}, "there is no control 'speed'; there are load, skew, layer"),
        ({"load": [1, -1]}, "finite and not negative"),
        ({"load": {}}, "no load to choose from"),
        ({"load": {"a": np.zeros((0, 4))}}, "the load 'a' has no layers"),
    ],
)
def test_what_is_wrong_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        explore_balance(**arguments)
