"""The registry: a schedule in one new file is found everywhere, and gone when its name is taken away."""

from __future__ import annotations

import sys

import pytest

import pipelab.schedules
from pipelab import Costs, build, compare_schedules, estimate_step, theory
from pipelab.cli import main
from pipelab.schedules import SCHEDULES, gpipe, naive, register, registered
from pipelab.schedules.registry import discover, unregister
from pipelab.show import explore_comparison, explore_schedule

FILE = '''
"""GPipe's backwards in the reverse order: what an accumulating stack would do."""

from pipelab.ir import Schedule, linear
from pipelab.schedules.building_blocks import stream
from pipelab.schedules.gpipe import filled_once
from pipelab.schedules.registry import register


def last_in_first_out(ranks, microbatches, chunks=1):
    every = range(microbatches)
    programs = ((*stream("F", rank, every), *stream("B", rank, every[::-1])) for rank in range(ranks))
    return Schedule("lifo", linear(ranks), microbatches, tuple(programs))


def closed_form(ranks, microbatches, costs, chunks):
    return filled_once(ranks, microbatches, costs, peak_activations=(microbatches,) * ranks, peak="M")


register("lifo", last_in_first_out, closed_form=closed_form, lesson=2, chunks=1)
'''


@pytest.fixture
def lifo(tmp_path):
    """A file more in the folder of schedules, found as the package finds its own."""
    (tmp_path / "last_in_first_out.py").write_text(FILE)
    pipelab.schedules.__path__.append(str(tmp_path))
    try:
        discover(pipelab.schedules.__path__, pipelab.schedules.__name__)
        yield "lifo"
    finally:
        pipelab.schedules.__path__.remove(str(tmp_path))
        unregister("lifo")
        del sys.modules["pipelab.schedules.last_in_first_out"], pipelab.schedules.last_in_first_out


def test_the_command_line_finds_it(lifo, capsys):
    assert main(["table", "--schedule", lifo, "--ranks", "2", "--microbatches", "2"]) == 0
    assert capsys.readouterr().out == "0F0,0F1,0B1,0B0\n1F0,1F1,1B1,1B0\n"
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    assert "naive, gpipe, lifo, 1f1b" in " ".join(capsys.readouterr().out.split())


def test_tables_find_it(lifo):
    table = compare_schedules(4, 8)
    assert table[lifo].makespan == table["gpipe"].makespan == 33
    assert [row.name for row in table][:3] == ["naive", "gpipe", lifo]
    assert estimate_step(4, 8, Costs(1000, 1000, 1000), schedules=["1f1b", lifo])[lifo].step == 33


def test_theory_finds_it(lifo):
    assert theory(lifo, 4, 8, chunks=1) == theory("gpipe", 4, 8)
    assert theory(lifo, 4, 8).makespan == 33


def test_explorers_find_it(lifo):
    explorer = explore_schedule(lifo, ranks=4, microbatches=8)
    assert lifo in explorer.controls.choice.options
    assert lifo in explorer.controls.against.options
    assert not explorer.controls.sliders["chunks"].disabled  # a choice of chunks is known from the registry, too
    assert str(explorer.schedule) == str(build(lifo, 4, 8))
    assert explore_comparison(4, 8).table[lifo].makespan == 33


def test_without_its_file_it_is_gone(capsys):
    assert "lifo" not in SCHEDULES
    with pytest.raises(SystemExit):
        main(["table", "--schedule", "lifo"])
    assert "invalid choice: 'lifo'" in capsys.readouterr().err


def test_listed_by_lesson_then_by_name():
    entries = [registered(name) for name in SCHEDULES]
    assert [(entry.lesson, entry.name) for entry in entries] == sorted((entry.lesson, entry.name) for entry in entries)


def test_an_entry_says_what_its_schedule_is():
    for name, builder in SCHEDULES.items():
        entry = registered(name)
        assert entry.builder is builder
        placement = build(name, 4, 8).placement
        assert len(placement.stages_of(0)) == (entry.chunks or entry.stages_per_rank)
        assert (entry.middle is None) == (not any(action.parts for action in build(name, 4, 8).programs[0]))
        if entry.middle:
            idle = theory(name, 4, 8).idle
            assert idle[entry.middle(4)] == max(idle)


def test_a_name_is_taken_once():
    with pytest.raises(ValueError, match="already called 'gpipe': pipelab.schedules.gpipe.gpipe"):
        register("gpipe", naive)
    assert SCHEDULES["gpipe"] is gpipe


def test_a_cell_may_run_again_after_a_change():
    try:
        for count in (2, 3):

            def mine(ranks, microbatches, count=count):
                return gpipe(ranks, count)

            register("mine", mine)
            assert build("mine", 2, 8).num_microbatches == count
        assert [*SCHEDULES][-1] == "mine"
        with pytest.raises(ValueError, match="no closed form for 'mine'"):
            theory("mine", 2, 8)
    finally:
        unregister("mine")
