"""The bars of what schedules save: as long as what they stand for."""

import pytest

from pipelab import estimate_step
from pipelab.show.plots.savings_chart import plot_savings


def test_bars_add_up_to_the_first_schedules_step():
    estimates = estimate_step(ranks=8, microbatches=20, schedules=["1f1b", "zb-h1", "dualpipe"])
    (axes,) = plot_savings(estimates).panels
    bars = [[bar.get_width() for bar in container] for container in axes.containers]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1f1b", "zb-h1", "dualpipe"]
    assert bars[0] == [row.step for row in estimates]
    assert bars[1][2] == estimates["dualpipe"].saved_by_hiding > bars[2][2] > 0
    for parts in zip(*bars, strict=True):
        assert sum(parts) == pytest.approx(estimates["1f1b"].step)
