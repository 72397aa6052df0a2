"""Under torchrun the same code joins the ranks that are there."""

from __future__ import annotations

import json
import subprocess
import sys

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
