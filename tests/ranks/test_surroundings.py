"""What is around a run may be odd: no port, no disk, a thread instead of the main one, an exit in the middle of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time

import psutil
import pytest

from pipelab import Costs, run
from pipelab.ranks import Cancelled, Ranks
from pipelab.schedules import gpipe
from tests.ranks.drivers import ROOT, descendants, driver, gone

RANKS = "from pipelab.ranks import Ranks; print(Ranks(2).run(lambda ctx: ctx.rank))"

#: A script in which `started` is set once a long run has really begun.
LONG_RUN = """
    import sys, threading, time
    from pipelab import Costs, run
    from pipelab.schedules import gpipe
    started = threading.Event()
    def progress(at):
        if at.done:
            print("running", flush=True)
            started.set()
    def long_run():
        run(gpipe(2, 1000), pace=Costs(100, 50, 50), progress=progress)
"""


def answer(code: str, **options: object) -> str:
    with driver(code, **options) as process:
        out, err = process.communicate(timeout=60)
    return out + err


@pytest.mark.parametrize("variable", ["TMPDIR", "HOME"])
def test_a_folder_that_can_not_be_written(variable: str) -> None:
    assert answer(RANKS, env={**os.environ, variable: "/proc/nowhere", "PYTHONPATH": str(ROOT)}) == "[0, 1]\n"


def test_a_full_disk() -> None:
    """No file can be written anywhere, not even into the temporary folder."""
    code = """
        import resource
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        from pipelab import run
        from pipelab.schedules import gpipe
        print(run(gpipe(2, 2)).gradients_equal)
    """
    assert answer(code) == "True\n"


class TestLoopback:
    """In a network namespace of its own, where this system lets us make one."""

    @pytest.fixture(autouse=True)
    def _may_unshare(self) -> None:
        if not shutil.which("unshare") or subprocess.run(["unshare", "-n", "true"], check=False).returncode:
            pytest.skip("needs the right to make a network namespace")

    def inside(self, code: str) -> str:
        shut = "import ctypes; assert not ctypes.CDLL(None).unshare(0x40000000)  # CLONE_NEWNET\n"
        return answer(shut + code)

    def test_shut(self) -> None:
        assert "OSError: the ranks of one machine meet over loopback (127.0.0.1), but it is shut" in self.inside(RANKS)

    @pytest.mark.parametrize("free", [0, 2])
    def test_no_port_is_free(self, free: int) -> None:
        """With two, the ranks meet, but can't connect."""
        code = f"""
import fcntl, socket, struct
held = [socket.socket() for _ in range(3)]
fcntl.ioctl(held[0], 0x8914, struct.pack("16sh14x", b"lo", 0x41))  # SIOCSIFFLAGS: up and running
open("/proc/sys/net/ipv4/ip_local_port_range", "w").write("60000 60002")
for port in range({3 - free}):
    held[port].bind(("127.0.0.1", 60000 + port))
    held[port].listen()
"""
        assert "OSError: the ranks of one machine meet over loopback (127.0.0.1), but no port is free" in self.inside(
            code + RANKS
        )


class TestThreads:
    def test_a_run_in_a_thread(self) -> None:
        """As the explorer does it: progress arrives in that thread, Cancel ends it, and it can run again."""
        seen: list[tuple[str, ...]] = []
        caught: list[BaseException] = []
        cancel = threading.Event()

        def work() -> None:
            try:
                run(
                    gpipe(2, 1000),
                    pace=Costs(100, 50, 50),
                    cancel=cancel,
                    progress=lambda at: seen.append((threading.current_thread().name, *at.where)),
                )
            except Cancelled as error:
                caught.append(error)

        for name in ("first", "second"):
            cancel.clear()
            thread = threading.Thread(target=work, name=name)
            thread.start()
            while (name, "0F1") not in {entry[:2] for entry in seen}:
                assert thread.is_alive()
                time.sleep(0.05)
            cancel.set()
            thread.join(timeout=30)
            assert not thread.is_alive()
        assert [str(error) for error in caught] == ["cancelled; all ranks are stopped"] * 2

    def test_two_runs_at_once(self) -> None:
        results = []
        threads = [threading.Thread(target=lambda: results.append(run(gpipe(2, 4)).gradients_equal)) for _ in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=60)
        assert results == [True, True]


class TestExit:
    """No process outlives its kernel, and none holds up its exit."""

    @pytest.mark.parametrize("end", ["pass", "sys.exit(0)", "import os; os._exit(0)"])
    def test_while_a_thread_runs(self, end: str) -> None:
        code = f"""{LONG_RUN}
    threading.Thread(target=long_run, daemon=True).start()
    started.wait()
    {end}
"""
        with driver(code) as process:
            assert process.stdout.readline() == "running\n"
            below = descendants(process.pid, 0)
            _, err = process.communicate(timeout=60)
            assert process.returncode == 0, err
            assert gone(below)

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_a_killed_kernel(self, number: int) -> None:
        with driver(f"{LONG_RUN}\n    long_run()") as process:
            assert process.stdout.readline() == "running\n"
            below = descendants(process.pid, 3)
            process.send_signal(number)
            assert gone(below)

    def test_an_interrupt_and_another_run(self) -> None:
        code = f"""{LONG_RUN}
    try:
        long_run()
    except KeyboardInterrupt:
        print("interrupted", run(gpipe(2, 2)).gradients_equal, flush=True)
"""
        with driver(code) as process:
            assert process.stdout.readline() == "running\n"
            below = descendants(process.pid, 3)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
            assert out.endswith("interrupted True\n"), err
            assert gone(below)


def test_many_ranks_on_few_cores() -> None:
    result = run(gpipe(32, 2), timeout=100)
    assert result.gradients_equal
    assert len(result.timeline) == 2 * 32 * 2


def test_nothing_piles_up() -> None:
    """Neither open files nor threads, run after run."""
    ranks, here = Ranks(2), psutil.Process()
    for _ in range(2):
        ranks.run(lambda ctx: ctx.rank)
    files, threads = here.num_fds(), here.num_threads()
    for _ in range(4):
        ranks.run(lambda ctx: ctx.rank)
    until = time.monotonic() + 20  # a thread that has read all may still be on its way out
    while here.num_threads() > threads and time.monotonic() < until:
        time.sleep(0.01)
    assert here.num_fds() <= files
    assert here.num_threads() <= threads
