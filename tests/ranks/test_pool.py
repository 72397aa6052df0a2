"""Ranks: what a function on real ranks is given, and what comes back."""

from __future__ import annotations

import os
import time

import pytest
import torch
import torch.distributed as dist

from pipelab.ranks import Progress, RankError, Ranks, RankState
from pipelab.ranks.forkserver_client import SERVER
from tests.ranks.drivers import driver


def test_results_come_in_the_order_of_ranks() -> None:
    assert Ranks(3).run(lambda ctx: (ctx.rank, ctx.size, ctx.device.type, ctx.backend)) == [
        (rank, 3, "cpu", "gloo") for rank in range(3)
    ]


def test_ranks_are_processes_that_talk() -> None:
    def total(ctx):
        value = torch.tensor([ctx.rank + 1.0])
        dist.all_reduce(value)
        return os.getpid(), value.item()

    pids, sums = zip(*Ranks(4).run(total), strict=True)
    assert len({*pids, os.getpid()}) == 5
    assert sums == (10.0,) * 4


@pytest.mark.parametrize("size", [0, -1, 1.5, None])
def test_a_size_that_is_none(size) -> None:
    with pytest.raises(ValueError, match="ranks must be"):
        Ranks(size)


def test_arguments_and_large_results() -> None:
    big = torch.arange(5_000_000)
    (back,) = Ranks(1).run(lambda ctx, tensor: tensor + 1, big)
    assert torch.equal(back, big + 1)


def test_nothing_leaks_from_one_run_into_the_next() -> None:
    def mark(ctx):
        seen = getattr(torch, "mark_of_a_test", False)
        torch.mark_of_a_test = True
        return seen

    ranks = Ranks(2)
    assert ranks.run(mark) == [False, False]
    assert ranks.run(mark) == [False, False]


def test_what_a_rank_prints_is_shown(capsys) -> None:
    Ranks(2).run(lambda ctx: print(f"hello from {ctx.rank}"))
    assert sorted(capsys.readouterr().out.splitlines()) == ["[rank 0] hello from 0", "[rank 1] hello from 1"]


def test_printing_without_end_blocks_nobody(capsys) -> None:
    Ranks(1).run(lambda ctx: [print("x" * 1000) for _ in range(20_000)])
    shown = capsys.readouterr().out
    assert "more was printed" in shown
    assert len(shown) < 2_000_000


def test_progress_tells_where_ranks_are(tmp_path) -> None:
    """A rank goes on only once its step has been told."""

    def slow(ctx):
        for step in range(4):
            ctx.at(f"step {step}", done=step + 1, total=4)
            while not (tmp_path / f"{ctx.rank} step {step}").exists():
                time.sleep(0.01)

    def note(progress):
        seen.append(progress)
        for rank, at in enumerate(progress.where):
            (tmp_path / f"{rank} {at}").touch()

    seen: list[Progress] = []
    Ranks(2).run(slow, progress=note)
    for step in range(4):
        assert f"step {step}" in {at for progress in seen for at in progress.where}
    assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
    assert seen[-1] == (8, 8, ("step 3", "step 3"))


def test_how_many_there_are_is_known_once_every_rank_has_said_so() -> None:
    states = [RankState(0, at="F", done=1, total=4), RankState(1)]
    assert Progress.of(states) == (1, 0, ("F", "starting")) and Progress.of(states).fraction == 0
    states[1].total = 4
    assert Progress.of(states).fraction == 1 / 8


def test_a_result_that_can_not_be_sent() -> None:
    with pytest.raises(TypeError, match="rank 0's result, a generator, can't be sent back"):
        Ranks(1).run(lambda ctx: (i for i in range(3)))


def test_a_function_that_can_not_be_sent() -> None:
    generator = (i for i in range(3))
    with pytest.raises(TypeError, match="can't be sent to other processes"):
        Ranks(1).run(lambda ctx: next(generator))


def test_what_a_notebook_cell_defines() -> None:
    """Functions, classes and globals of __main__, by value."""
    code = """
        import torch
        from pipelab import run
        from pipelab.ranks import Ranks
        from pipelab.schedules import gpipe
        OFFSET = 40
        class Shift(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.shift = torch.nn.Parameter(torch.zeros(4))
            def forward(self, x):
                return x + self.shift
        def answer(ctx):
            return OFFSET + ctx.rank, Shift()(torch.ones(4)).sum().item()
        print(Ranks(2).run(answer))
        batch = torch.ones(4, 4), torch.zeros(4, 4)
        print(run(gpipe(2, 2), [Shift(), Shift()], batch, loss=lambda o, t: ((o - t) ** 2).mean()).gradients_equal)
    """
    with driver(code) as process:
        out, err = process.communicate(timeout=60)
    assert out == "[(40, 4.0), (41, 4.0)]\nTrue\n", err


def test_the_calling_process_needs_no_torch() -> None:
    code = "import sys; from pipelab import build, run; run(build('gpipe', 2, 2)); print('torch' in sys.modules)"
    with driver(code) as process:
        assert process.communicate(timeout=60)[0] == "False\n"


def test_modules_to_preload_are_imported_before_ranks_are_forked(tmp_path, monkeypatch) -> None:
    """Once, in one process, and by name; what can't be imported is told, and the next run works."""
    (tmp_path / "preloaded_by_a_test.py").write_text("import os\nIMPORTED_IN = os.getpid()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    SERVER.close()

    def look(ctx) -> tuple[int, int]:
        import preloaded_by_a_test  # type: ignore[import-not-found]

        return preloaded_by_a_test.IMPORTED_IN, os.getppid()

    for imported_in, parent in Ranks(2, preload=["preloaded_by_a_test"]).run(look):
        assert imported_in == parent == SERVER.process.pid
    with pytest.raises(RankError, match="No module named 'not_there'"):
        Ranks(1, preload=["not_there"]).run(look)
    assert Ranks(1).run(lambda ctx: ctx.rank) == [0]
    SERVER.close()


def test_two_threads_at_once() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor() as pool:
        jobs = [pool.submit(Ranks(2).run, lambda ctx, n: (n, ctx.rank), n) for n in range(4)]
        assert [job.result() for job in jobs] == [[(n, 0), (n, 1)] for n in range(4)]


def test_a_users_module_that_takes_all_names_loads_nothing_to_draw_with(tmp_path, monkeypatch) -> None:
    """Until it draws: a rank would wait seconds for an import that it doesn't need."""
    (tmp_path / "all_names_of_a_test.py").write_text(
        "import sys, warnings\n"
        "from pipelab import *\n"
        "from pipelab.show import explore_schedule, plot_memory\n"
        "with warnings.catch_warnings(action='ignore'):\n"
        "    from pipelab import explore, plot_plan\n\n"
        "def look(ctx):\n"
        "    before = 'matplotlib' in sys.modules\n"
        "    return before, plot(simulate(build('gpipe', 2, 2))).png()[:4]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from all_names_of_a_test import look  # type: ignore[import-not-found]

    assert Ranks(1).run(look) == [(False, b"\x89PNG")]
