"""How much is hidden, under a slider, and on real ranks."""

import pytest

from pipelab.ir import ORDERS, SegmentOrder
from pipelab.show import explore_estimate, explore_overlap

SEGMENTS = [str(segment) for segment in ORDERS["deepseek"].segments]


def test_the_slider_changes_prediction_and_picture():
    explorer = explore_overlap(0.5)
    half, picture = explorer.predicted, explorer.pair.picture.value
    assert half.serial == pytest.approx(360)
    explorer.share.value = 0.7
    assert explorer.predicted.serial > half.serial
    assert explorer.predicted.exposed > half.exposed  # more than there is to hide behind
    assert explorer.pair.picture.value != picture
    assert f"{float(explorer.predicted.exposed):.4g} ms" in explorer.table.value


def test_the_order_is_a_choice_and_ones_own_is_one_of_them():
    serial = [segment for way in ("F", "BW") for segment in SEGMENTS if segment[-2] in way]
    explorer = explore_overlap(0.5, order=serial)
    slow = explorer.predicted.overlapped
    explorer.order.value = ORDERS["megatron"]
    middle = explorer.predicted.overlapped
    explorer.order.value = ORDERS["deepseek"]
    assert explorer.predicted.overlapped < middle < slow
    assert "order deepseek" in explorer.pair.picture.value
    for name in ("", "deepseek"):  # it takes no other order's place, and has a name
        mine = SegmentOrder(SegmentOrder.of(serial).segments, name)
        options = dict(explore_overlap(order=mine).order.options)
        assert options["deepseek"] is ORDERS["deepseek"] and options["yours"].segments == mine.segments
    with pytest.raises(ValueError, match="attention.F. comes before|comes before attention"):
        explore_overlap(order=serial[::-1])


def test_without_a_kernel_there_is_a_picture():
    bundle = explore_overlap()._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBOR")
    assert bundle["text/plain"].startswith("hiding: 50.0 % communication")


def test_a_share_beyond_the_slider_is_refused():
    with pytest.raises(ValueError, match="from 0.1 to 0.8"):
        explore_overlap(1.0)


@pytest.mark.timeout(120)
def test_the_button_runs_the_pair_on_real_ranks():
    explorer = explore_overlap(0.5, repeats=1)
    explorer.experiment.button.click()
    explorer.experiment.wait(90)
    assert explorer.experiment.status.value == ""
    assert explorer.result.gradients_equal
    assert explorer.result.overlapped < explorer.result.blocking
    assert "emulated link" in explorer.overlapped.picture.value
    assert "bit by bit equal" in explorer.table.value
    explorer.share.value = 0.3  # the run was of another share
    assert explorer.overlapped.picture.value == ""
    assert "bit by bit" not in explorer.table.value


def test_steps_of_a_large_model_under_sliders():
    estimate = explore_estimate()
    assert estimate.table["dualpipe"].step < estimate.table["1f1b"].step
    assert "61" in estimate.picture.value  # the assumptions stand beside the figures
    before = estimate.picture.value
    estimate.controls.sliders["microbatches"].value = 160
    assert estimate.picture.value != before
