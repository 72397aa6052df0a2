"""The table of costs under sliders."""

import pytest

from pipelab import Costs, compare_schedules
from pipelab.show import explore_comparison


def test_the_table_follows_the_sliders():
    explorer = explore_comparison(4, 8)
    assert explorer.table["dualpipe"].makespan == compare_schedules(4, 8)["dualpipe"].makespan
    before = explorer.picture.value
    explorer.controls.sliders["microbatches"].value = 12
    assert explorer.picture.value != before
    explorer.controls.sliders["overlapped"].value = 2.2
    assert float(explorer.table["dualpipe"].makespan) == pytest.approx(
        float(compare_schedules(4, 12, Costs(1.0, 1.0, 1.0, overlapped=2.2))["dualpipe"].makespan)
    )


def test_schedules_that_do_not_fit_are_named_with_the_reason():
    explorer = explore_comparison(3, 8, schedules=["1f1b", "dualpipe"])
    assert [row.name for row in explorer.table] == ["1f1b"]
    assert "even number of ranks" in explorer.picture.value


def test_without_a_kernel_there_is_the_table():
    bundle = explore_comparison(2, 4)._repr_mimebundle_()
    assert "zb-v" in bundle["text/html"]
    assert bundle["text/plain"].startswith("schedule")
