"""Ranks under a real notebook kernel: what cells define and show, interrupt, restart and shutdown."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from jupyter_client.blocking import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from tests.ranks.drivers import ROOT, gone

DEFINITIONS = """
import torch
from torch import nn
from pipelab import Costs, run
from pipelab.ranks import Ranks
from pipelab.schedules import gpipe

class Doubling(nn.Linear):
    fails = False
    def forward(self, x):
        if self.fails:
            raise ArithmeticError("two and two are five")
        return 2 * super().forward(x)

def square(output, target):
    return ((output - target) ** 2).mean()

def try_it(**options):
    batch = torch.ones(4, 3), torch.zeros(4, 3)
    return run(gpipe(2, 2), [Doubling(3, 3), Doubling(3, 3)], batch, loss=square, **options)
"""

Execute = Callable[[str], str]


@pytest.fixture(scope="module")
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager, client = start_new_kernel(startup_timeout=100, cwd=str(ROOT))
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


@pytest.fixture
def execute(kernel) -> Execute:
    """Runs a cell; what it shows, without colours."""
    _, client = kernel

    def run_cell(code: str) -> str:
        shown: list[str] = []

        def hook(message: dict) -> None:
            content = message["content"]
            shown.append(content.get("text", "") + "\n".join(content.get("traceback", [])))

        client.execute_interactive(code, timeout=100, output_hook=hook)
        return re.sub(r"\x1b\[[0-9;]*m", "", "".join(shown))

    assert run_cell(DEFINITIONS) == ""
    return run_cell


def ranks_below(manager: KernelManager) -> list[psutil.Process]:
    """The forkserver and its ranks, once there are two of these."""
    kernel = psutil.Process(manager.provisioner.pid)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        below = kernel.children(recursive=True)
        ranks = [process for process in below if process.ppid() != kernel.pid]
        if len([process for process in ranks if process.status() != psutil.STATUS_ZOMBIE]) == 2:
            return below
        time.sleep(0.05)
    raise AssertionError("no two ranks came up")


def test_functions_and_modules_of_cells(execute: Execute) -> None:
    assert execute("print(try_it().gradients_equal)") == "True\n"
    assert (
        execute("print(Ranks(2).run(lambda ctx: Doubling.__name__ + str(ctx.rank)))") == "['Doubling0', 'Doubling1']\n"
    )


def test_a_failure_shows_the_rank_and_its_own_traceback(execute: Execute) -> None:
    shown = execute("Doubling.fails = True\ntry_it()")
    assert "ArithmeticError: two and two are five" in shown
    assert "rank 0 raised this while at 0F0:\nTraceback (most recent call last):" in shown
    assert 'raise ArithmeticError("two and two are five")' in shown
    assert execute("Doubling.fails = False\nprint(try_it().gradients_equal)") == "True\n"


def test_a_deadlock_shows_the_cells_lines(execute: Execute) -> None:
    cell = """
    def never(ctx):
        torch.distributed.recv(torch.ones(1), 1 - ctx.rank)  # nobody sends
    Ranks(2).run(never, stall=1)
    """
    shown = execute(textwrap.dedent(cell))
    assert "Deadlock: deadlock: all ranks have been waiting for 1 s" in shown
    assert shown.count("torch.distributed.recv(torch.ones(1), 1 - ctx.rank)  # nobody sends)") == 2


def test_interrupt(kernel, execute: Execute) -> None:
    manager, client = kernel
    cell = client.execute("try_it(pace=Costs(60_000, 1, 1))", stop_on_error=False)  # or what comes next may be dropped
    below = ranks_below(manager)
    manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=60))["parent_header"]["msg_id"] != cell:
        pass
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert execute("print(try_it().gradients_equal)") == "True\n"
    name = "pipelab.ranks.forkserver"
    server = [process for process in below if process.is_running() and name in " ".join(process.cmdline())]
    assert gone([process for process in below if process not in server])


def test_restart(kernel, execute: Execute) -> None:
    manager, client = kernel
    client.execute("try_it(pace=Costs(60_000, 1, 1))")
    below = ranks_below(manager)
    manager.restart_kernel(now=True)
    assert gone(below)
    client.wait_for_ready(timeout=60)
    assert execute(DEFINITIONS + "print(try_it().gradients_equal)") == "True\n"


def test_shutdown_while_a_thread_runs(kernel, execute: Execute) -> None:
    """As the explorer's button does it. Last of the file: it ends the kernel."""
    manager, _ = kernel
    execute(
        "import threading\nthreading.Thread(target=try_it, kwargs={'pace': Costs(60_000, 1, 1)}, daemon=True).start()"
    )
    below = ranks_below(manager)
    began = time.monotonic()
    manager.shutdown_kernel()
    assert time.monotonic() - began < 25  # and not the run's two minutes
    assert gone(below)
