"""The button's run without a kernel: its result is shown, Cancel ends it, and so does its cell when it runs again."""

import threading
from types import SimpleNamespace

import pytest

from pipelab.ranks.errors import Cancelled
from pipelab.show.explore import experiment
from pipelab.show.explore.experiment import Experiment


class Shell:
    """As much of a kernel's shell as an experiment knows: the cell that is running, and an event before each cell."""

    def __init__(self, cell: str) -> None:
        self.events, self.callbacks, self.cell = self, [], cell

    def get_parent(self) -> dict:
        return {"metadata": {"cellId": self.cell}}

    def register(self, event: str, callback: object) -> None:
        assert event == "pre_run_cell"
        self.callbacks.append(callback)

    def unregister(self, event: str, callback: object) -> None:
        self.callbacks.remove(callback)

    def run_cell(self, cell: str) -> None:
        for callback in self.callbacks[:]:
            callback(SimpleNamespace(cell_id=cell))


def until_cancelled(progress: object, cancel: threading.Event) -> None:
    if not cancel.wait(20):
        raise AssertionError("it was never cancelled")
    raise Cancelled("cancelled")


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    shell = Shell("mine")
    monkeypatch.setattr(experiment, "get_ipython", lambda: shell)
    return shell


def test_a_run_ends_where_its_cell_is_run_again(shell: Shell) -> None:
    mine = Experiment(until_cancelled, print)
    mine.run()
    shell.run_cell("another")
    assert not mine.cancelled.is_set() and mine.running
    shell.run_cell("mine")
    mine.wait(20)
    assert not mine.running and "cancelled" in mine.status.value
    assert shell.callbacks == []  # nothing is left of it


def test_without_a_notebook_a_run_shows_what_came_of_it() -> None:
    found: list[int] = []
    mine = Experiment(lambda progress, cancel: 7, found.append)
    mine.button.click()
    mine.wait(20)
    assert found == [7] and mine.status.value == ""
    assert not mine.button.disabled and mine.cancel.disabled
