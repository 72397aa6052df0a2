"""The command line, as a person and as a program meet it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelab import Costs, build, run, simulate
from pipelab.commands import _account, _finite
from pipelab.ir import from_csv, to_csv
from pipelab.schedules import SCHEDULES, gpipe
from pipelab.timeline import from_chrome_trace
from tests.ranks.drivers import descendants

ROOT = Path(__file__).parents[1]
SIMULATED = {"makespan", "bubble_fraction", "bubble_over_ideal", "peak_activations"}
RUN = SIMULATED | {
    "makespan_ms",
    "simulated_makespan_ms",
    "losses",
    "max_gradient_error",
    "peak_activation_bytes",
    "paced",
    "lateness_ms",
    "device",
    "backend",
}
#: Fits every schedule: an even number of ranks, a multiple of it as micro-batches.
SMALL = ["--ranks", "2", "--microbatches", "4"]


def pipelab(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command as a process of its own."""
    line = [sys.executable, "-m", "pipelab", *arguments]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False, **options)


class TestTable:
    @pytest.mark.parametrize("name", SCHEDULES)
    def test_one_row_per_rank(self, command, name: str) -> None:
        status, out, _ = command("table", "--schedule", name, *SMALL)
        assert status == 0
        assert out == to_csv(build(name, 2, 4))
        assert [row.split(",")[0] for row in out.splitlines()] == [str(p[0]) for p in build(name, 2, 4).programs]

    def test_chunks(self, command) -> None:
        _, out, _ = command("table", "--schedule", "interleaved", "--chunks", "3", *SMALL)
        assert from_csv(out).num_stages == 6
        _, out, _ = command("table", "--schedule", "interleaved", *SMALL)
        assert from_csv(out).num_stages == 4

    def test_piped_into_head(self) -> None:
        """Far more than a pipe holds, and a reader that leaves after the first line."""
        line = f"{sys.executable} -m pipelab table --ranks 8 --microbatches 3000 | head -1 | cut -c1-7"
        done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        assert (done.stdout, done.stderr) == ("0F0,0F1\n", "")


class TestSimulate:
    @pytest.mark.parametrize("name", SCHEDULES)
    def test_figures(self, command, name: str) -> None:
        status, out, err = command("simulate", "--schedule", name, *SMALL, "--json")
        answer, timeline = json.loads(out), simulate(build(name, 2, 4))
        assert (status, err) == (0, "")
        assert answer.keys() >= SIMULATED | {"schedule", "ranks", "microbatches"}
        assert answer["makespan"] == timeline.makespan
        assert answer["bubble_fraction"] == timeline.bubble_fraction
        assert answer["bubble_over_ideal"] == timeline.bubble_over_ideal
        assert answer["peak_activations"] == list(timeline.peak_activations)

    def test_costs_per_stage(self, command) -> None:
        options = ["--forward", "1,2", "--backward-input", "3,0.5", "--backward-weight", "2", "--latency", "0.25"]
        _, out, _ = command("simulate", "--schedule", "gpipe", *SMALL, *options, "--json")
        costs = Costs(forward=[1, 2], backward_input=[3, 0.5], backward_weight=2, latency=0.25)
        assert json.loads(out)["makespan"] == simulate(build("gpipe", 2, 4), costs).makespan

    def test_an_overlapped_pair(self, command) -> None:
        size = ["--schedule", "dualpipe", "--ranks", "4", "--microbatches", "8"]
        together, apart = (
            json.loads(command("simulate", *size, "--overlapped", cost, "--json")[1]) for cost in ("2", "3")
        )
        assert together["makespan"] == simulate(build("dualpipe", 4, 8), Costs(overlapped=2)).makespan
        assert together["makespan"] < apart["makespan"]

    def test_text(self, command) -> None:
        status, out, err = command("simulate", "--schedule", "gpipe", *SMALL)
        assert (status, err) == (0, "")
        assert out.startswith("gpipe, simulated: 2 ranks")
        assert "rank 1" in out
        assert "F3" in out
        assert "bubble fraction" in out
        assert "\x1b" not in out  # no colours where it isn't a terminal

    @pytest.mark.parametrize("name", SCHEDULES)
    def test_the_smallest(self, command, name: str) -> None:
        """One rank, one micro-batch: either it works, or a line says what the schedule needs."""
        status, out, err = command("simulate", "--schedule", name, "--ranks", "1", "--microbatches", "1", "--json")
        if status == 0:
            assert json.loads(out)["makespan"] == simulate(build(name, 1, 1)).makespan
        else:
            assert (status, out) == (2, "")
            assert "must be" in err or "needs" in err
            assert len(err.splitlines()) == 1

    def test_files(self, command, tmp_path: Path) -> None:
        trace, plot = tmp_path / "trace.json", tmp_path / "plot.png"
        status, _, _ = command("simulate", *SMALL, "--latency", "0.5", "--trace", str(trace), "--plot", str(plot))
        assert status == 0
        read = from_chrome_trace(trace.read_text())
        assert read.spans == simulate(build("1f1b", 2, 4), Costs(latency=0.5)).spans
        assert plot.read_bytes().startswith(b"\x89PNG")


class TestRun:
    def test_figures_and_files(self, command, tmp_path: Path) -> None:
        trace, plot = tmp_path / "trace.json", tmp_path / "plot.png"
        files = ["--trace", str(trace), "--plot", str(plot)]
        status, out, _ = command("run", *SMALL, "--pace-ms", "4", "--steps", "2", "--json", *files)
        answer = json.loads(out)
        assert status == 0
        assert answer.keys() >= RUN | {"schedule", "ranks", "microbatches"}
        assert answer["paced"] is True
        # forward = backward-input = backward-weight = 4 ms, so that a whole backward takes 8
        assert answer["simulated_makespan_ms"] == simulate(build("1f1b", 2, 4), Costs(4, 4, 4)).makespan == 60
        assert answer["makespan"] == answer["makespan_ms"] > 0.9 * 60
        assert len(answer["losses"]) == 2
        assert answer["max_gradient_error"] <= 1e-5
        assert answer["peak_activations"] == [2, 1]
        assert len(answer["peak_activation_bytes"]) == 2
        assert (answer["device"], answer["backend"]) in (("cpu", "gloo"), ("cuda", "nccl"))
        read = from_chrome_trace(trace.read_text())
        assert read.source == "paced"
        assert float(read.makespan) == answer["makespan"]
        assert plot.read_bytes().startswith(b"\x89PNG")

    def test_text(self, command) -> None:
        status, out, _ = command("run", "--schedule", "gpipe", "--ranks", "1", "--microbatches", "1")
        assert status == 0
        assert out.startswith("gpipe, measured: 1 rank,")
        assert "gradients equal a single process's" in out

    def test_one_object_on_stdout(self) -> None:
        """Whatever ranks print or warn goes elsewhere."""
        loud = {**os.environ, "TORCH_CPP_LOG_LEVEL": "INFO", "PYTHONWARNINGS": "always"}
        done = pipelab("run", "--schedule", "1f1b", *SMALL, "--json", env=loud)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["paced"] is False
        assert done.stdout.count("\n") == 1

    def test_a_failed_run(self, command) -> None:
        status, out, err = command("run", *SMALL, "--pace-ms", "1000", "--timeout", "0.5", "--json")
        assert (status, out) == (1, "")
        assert err.startswith("pipelab: the run failed: RankTimeout: not done after 0.5 s")

    def test_a_loss_that_is_no_number(self) -> None:
        """Said in words; and JSON, which has no NaN, stays JSON."""

        def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return output.mean() * float("nan")

        batch = torch.ones(2, 4), torch.ones(2, 4)
        result = run(gpipe(1, 2), [torch.nn.Linear(4, 4)], batch, loss=loss)
        assert any("THE LOSS of step 0 is nan" in line for line in _account(result))
        assert json.loads(json.dumps(_finite(result.summary()), allow_nan=False))["losses"] == [None]

    def test_an_interrupt(self) -> None:
        line = [sys.executable, "-m", "pipelab", "run", *SMALL, "--pace-ms", "20000"]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            descendants(process.pid, 3)  # the helper and both ranks: the run is under way
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        assert (process.returncode, out, err) == (1, "", "pipelab: interrupted; all ranks are stopped\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("bench", "invalid choice: 'bench'"),
        ("table --schedule zigzag", "invalid choice: 'zigzag' (choose from"),
        ("table --ranks 0", "ranks must be at least 1; got 0"),
        ("table --ranks two", "invalid int value: 'two'"),
        ("table --microbatches -3", "microbatches must be at least 1; got -3"),
        ("table --chunks 2", "1f1b has one stage per rank: it takes no chunks"),
        ("table --json", "unrecognized arguments: --json"),
        ("simulate --forward 1,2", "forward lists 2 costs; the schedule has 4 stages"),
        ("simulate --forward one", "expected a number, or one per stage, such as 1,1,2; got 'one'"),
        ("simulate --latency -1", "latency must be finite and not negative; got -1"),
        ("simulate --latency 1,2", "latency and bandwidth are one number each"),
        ("simulate --trace /nowhere/trace.json", "/nowhere/trace.json can't be written"),
        ("run --plot /nowhere/plot.png", "/nowhere/plot.png can't be written"),
        ("run --pace-ms -5", "must be finite and not negative; got -5"),
        ("run --pace-ms nan", "must be finite and not negative; got nan"),
        ("run --pace-ms inf", "argument --pace-ms: must be finite and not negative; got inf"),
        ("run --plot picture.xyz", "picture.xyz is no kind of picture; there are "),
        ("run --timeout 0", "timeout must be a number of seconds above 0"),
        ("run --timeout nan", "timeout must be a number of seconds above 0"),
        ("run --seed 99999999999999999999", "seed must fit in 64 bits"),
        ("profile trace.json --plot /nowhere/plot.png", "/nowhere/plot.png can't be written"),
        ("run --steps 0", "steps must be at least 1; got 0"),
        ("run --device tpu", "invalid choice: 'tpu'"),
    ],
)
def test_bad_arguments(command, line: str, message: str) -> None:
    """One line that says what is wrong, and nothing else; nothing is started."""
    status, out, err = command(*line.split())
    assert (status, out) == (2, "")
    assert message in err
    assert err.startswith("pipelab: ")
    assert len(err.splitlines()) == 1


class TestDoctor:
    def test_a_machine_that_can(self, command) -> None:
        status, out, _ = command("doctor")
        assert status == 0
        for word in ("cores", "torch", "GPUs", "4 start in", "again in", "gloo"):
            assert word in out

    def test_a_machine_that_can_not(self) -> None:
        """Without loopback, ranks don't meet: doctor says so, what to do, and fails."""
        if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
            pytest.skip("needs the right to make a network namespace")
        line = ["unshare", "-n", sys.executable, "-m", "pipelab", "doctor"]
        done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 1
        assert "4 ranks don't start" in done.stdout
        assert "loopback" in done.stdout
        assert "Traceback" not in done.stdout + done.stderr
