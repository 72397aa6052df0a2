"""The explorer without a browser: sliders change the picture, the button starts real ranks, Cancel ends them."""

import re
import time

import psutil
import pytest

from pipelab import Costs, simulate
from pipelab.schedules import one_f_one_b
from pipelab.show import explore_schedule
from pipelab.show.explore.controls import MEANING, SLIDERS
from pipelab.show.explore.schedule_explorer import ScheduleExplorer


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def labels(explorer: ScheduleExplorer) -> list[str]:
    return re.findall(r">(\d+)</text>", explorer.predicted.picture.value)


def test_it_begins_with_what_is_asked_for():
    explorer = explore_schedule("gpipe", ranks=3, microbatches=5, forward=2)
    assert repr(explorer) == "explorer: gpipe, 3 ranks, 5 micro-batches"
    assert explorer.timeline.makespan == (5 + 3 - 1) * 4
    assert "makespan 28 · bubble 28.6 %" in explorer.predicted.picture.value
    assert "28.6 %" in explorer.table.value


@pytest.mark.parametrize("name", ["ranks", "microbatches", "forward", "backward_input", "backward_weight", "latency"])
def test_every_slider_changes_the_picture(name):
    explorer = explore_schedule()
    before = explorer.predicted.picture.value
    explorer.controls.sliders[name].value += 1
    assert explorer.predicted.picture.value != before


def test_the_schedule_changes_the_picture():
    explorer = explore_schedule("1f1b")
    before, explorer.controls.choice.value = explorer.predicted.picture.value, "naive"
    assert explorer.predicted.picture.value != before
    assert explorer.timeline.name == "naive"


def test_the_picture_is_the_simulation_of_the_sliders():
    explorer = explore_schedule()
    explorer.controls.sliders["ranks"].value, explorer.controls.sliders["microbatches"].value = 3, 6
    explorer.controls.sliders["latency"].value = 0.3
    assert explorer.timeline == simulate(one_f_one_b(3, 6), Costs(1, 1, 1, latency=0.3))


def test_schedules_of_ones_own():
    explorer = explore_schedule("mine", schedules={"mine": one_f_one_b})
    assert explorer.controls.choice.options == ("mine",)
    assert explorer.timeline.makespan == 33


def test_an_exception_is_shown_in_the_pictures_place():
    def broken(ranks, microbatches):
        if microbatches == 9:
            raise ValueError("not <nine>")
        return one_f_one_b(ranks, microbatches)

    explorer = explore_schedule("mine", schedules={"mine": broken})
    explorer.controls.sliders["microbatches"].value = 9
    assert "not &lt;nine&gt;" in explorer.predicted.picture.value
    explorer.controls.sliders["microbatches"].value = 10
    assert "<svg" in explorer.predicted.picture.value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schedule": "2f2b"}, "no schedule is called '2f2b'; there are naive"),
        ({"schedules": ["gpipe", "none"]}, "no schedule is called 'none'"),
        ({"controls": ["rank"]}, "no control 'rank'"),
        ({"forwards": 2}, "no control 'forwards'"),
        ({"pace_ms": 20}, "how many ms a unit of cost lasts in a run is unit_ms"),
        ({"ranks": 99}, "ranks must be from 1 to 16"),
        ({"limits": {"m": (1, 2)}}, "no control 'm'"),
        ({"unit_ms": 0}, "unit_ms must be from 2 to 50, its slider's limits; got 0"),
        ({"unit_ms": 60}, "unit_ms must be from 2 to 50, its slider's limits; got 60"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        explore_schedule(**arguments)


def test_limits_can_be_set():
    explorer = explore_schedule(ranks=20, limits={"ranks": (2, 32)})
    assert (explorer.controls.sliders["ranks"].min, explorer.controls.sliders["ranks"].max) == (2, 32)


def test_without_a_kernel_there_is_a_picture():
    bundle = explore_schedule()._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBOR")
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("explorer: 1f1b")


def test_every_control_is_documented_by_its_text():
    explorer = explore_schedule(controls=SLIDERS, overlapped=2)
    assert {slider.description for slider in explorer.controls.sliders.values()} == {
        text for text, *_ in SLIDERS.values()
    }
    assert {slider.tooltip for slider in explorer.controls.all} == set(MEANING.values())


@pytest.mark.timeout(180)
def test_the_button_runs_real_ranks_and_cancel_ends_them():
    explorer = explore_schedule("1f1b", ranks=2, microbatches=3, unit_ms=5, against="zb-v")
    experiment, said = explorer.experiment, []
    experiment.status.observe(lambda change: said.append(change.new), "value")
    experiment.button.click()
    assert "starting" in said[0]  # at once
    assert experiment.button.disabled
    assert not experiment.cancel.disabled
    experiment.wait(90)
    assert not experiment.button.disabled
    assert experiment.status.value == ""
    assert "paced" in explorer.measured.picture.value
    assert "<svg" in explorer.measured.picture.value
    assert "gradients equal a single process" in explorer.account.value
    assert explorer.result.gradients_equal
    assert explorer.result.timeline.source == "paced"
    assert ">paced</th>" in explorer.table.value
    figures = explorer.table.value.partition("makespan</th>")[2].partition("</tr>")[0]
    assert re.findall(r">([\d.]+) ms</td>", figures)[::2] == ["60", "47.5"]  # the other schedule is in ms as well

    explorer.controls.sliders["microbatches"].value = 4  # the run was of other settings
    assert "a run of other settings" in explorer.measured.picture.value
    assert ">paced</th>" not in explorer.table.value
    explorer.controls.sliders["microbatches"].value = 3
    assert "a run of other settings" not in explorer.measured.picture.value

    explorer.controls.sliders["microbatches"].value = 64
    explorer.pace.value = 50
    experiment.button.click()
    wait_for(lambda: "rank 0" in experiment.status.value)
    helpers = psutil.Process().children(recursive=True)
    began = time.monotonic()
    experiment.cancel.click()
    experiment.wait(60)
    assert time.monotonic() - began < 15  # and not the half minute that is left
    assert "cancelled" in experiment.status.value
    assert len([p for p in helpers if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]) <= 1  # the warm helper

    explorer.controls.sliders["microbatches"].value = 3  # and the next run works
    explorer.pace.value, explorer.paced.value = 5, False
    experiment.button.click()
    experiment.wait(60)
    assert explorer.result.timeline.source == "measured"


@pytest.mark.timeout(120)
def test_a_failing_run_shows_its_exception_and_the_rank():
    explorer = explore_schedule(ranks=2, microbatches=2)
    original = explorer.experiment.start
    explorer.experiment.start = lambda progress, cancel: fails(original, progress, cancel)
    explorer.experiment.button.click()
    explorer.experiment.wait(60)
    assert "ZeroDivisionError" in explorer.experiment.status.value
    assert "rank 1 raised this" in explorer.experiment.status.value
    assert not explorer.experiment.button.disabled
    explorer.controls.sliders["microbatches"].value = 3  # the error was of other settings
    assert explorer.experiment.status.value == ""


def fails(start, progress, cancel):
    from torch import nn

    from pipelab import run

    class Broken(nn.Module):
        def forward(self, x):
            return x / (1 // 0)

    return run(one_f_one_b(2, 2), [nn.Embedding(256, 8), Broken()], progress=progress, cancel=cancel)
