"""How much is hidden, under a slider, and on real ranks."""

import pytest

from pipelab import explore_estimate, explore_overlap


def test_the_slider_changes_prediction_and_picture():
    hider = explore_overlap(0.5)
    half, picture = hider.predicted, hider.pair.picture.value
    assert half.serial == pytest.approx(360)
    hider.share.value = 0.7
    assert hider.predicted.serial > half.serial
    assert hider.predicted.exposed > half.exposed  # more than there is to hide behind
    assert hider.pair.picture.value != picture
    assert f"{float(hider.predicted.exposed):.4g} ms" in hider.table.value


def test_without_a_kernel_there_is_a_picture():
    bundle = explore_overlap()._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBOR")
    assert bundle["text/plain"].startswith("hiding: 50.0 % communication")


def test_a_share_beyond_the_slider_is_refused():
    with pytest.raises(ValueError, match="from 0.1 to 0.8"):
        explore_overlap(1.0)


@pytest.mark.timeout(120)
def test_the_button_runs_the_pair_on_real_ranks():
    hider = explore_overlap(0.5, repeats=1)
    hider.experiment.button.click()
    hider.experiment.wait(90)
    assert hider.experiment.status.value == ""
    assert hider.found.gradients_equal
    assert hider.found.overlapped < hider.found.blocking
    assert "emulated link" in hider.overlapped.picture.value
    assert "bit by bit equal" in hider.table.value
    hider.share.value = 0.3  # the run was of another share
    assert hider.overlapped.picture.value == ""
    assert "bit by bit" not in hider.table.value


def test_steps_of_a_large_model_under_sliders():
    comparer = explore_estimate()
    assert comparer.result["dualpipe"].step < comparer.result["1f1b"].step
    assert "61" in comparer.table.value  # the assumptions stand beside the figures
    before = comparer.table.value
    comparer.controls.sliders["microbatches"].value = 160
    assert comparer.table.value != before
