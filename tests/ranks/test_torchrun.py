"""Under torchrun the same code joins the ranks that are there."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from tests.ranks.drivers import ROOT


def torchrun(*arguments: str, ranks: int = 2) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_the_run_command() -> None:
    done = torchrun("-m", "pipelab", "run", "--microbatches", "4", "--steps", "2", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)  # one object: only rank 0 prints
    assert answer["gradients_equal"] is True
    assert answer["ranks"] == 2
    assert len(answer["losses"]) == 2


def test_another_number_of_ranks_is_refused() -> None:
    done = torchrun("-m", "pipelab", "run", "--ranks", "3")
    assert done.returncode != 0
    assert "torchrun started 2 ranks, but 3 are asked for" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc for the names of threads")
def test_no_thread_of_gloo_outlives_the_groups(tmp_path) -> None:
    """One that does now and then aborts the process: it may let go of a tensor while the interpreter ends."""
    script = tmp_path / "threads.py"
    script.write_text(
        textwrap.dedent("""
        import atexit
        from pathlib import Path
        from types import SimpleNamespace

        from pipelab.ranks import Ranks

        def gloo_threads():
            return sum("gloo" in name.read_text() for name in Path("/proc/self/task").glob("*/comm"))

        def work(ctx):
            import torch.distributed as dist
            import torch.distributed.nn.functional

            circle = SimpleNamespace(group=dist.new_group())
            circle.itself = circle
            dist.barrier(circle.group)
            return gloo_threads() > 0

        atexit.register(lambda: print(f"{gloo_threads()}\\n", end="", flush=True))  # after those registered later
        assert Ranks(2).run(work) == [True, True]
        """)
    )
    done = torchrun(str(script))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "0"]
