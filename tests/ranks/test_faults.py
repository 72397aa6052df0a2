"""Faults: whatever happens to ranks ends in seconds, is told plainly, leaves no process, and the next run works."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time

import psutil
import pytest
import torch
import torch.distributed as dist

from pipelab.ranks import Cancelled, Deadlock, RankDied, RankError, Ranks, RankTimeout
from pipelab.ranks.forkserver_client import SERVER
from tests.ranks.drivers import descendants, driver, gone

SLEEPER = """
    import time
    from pipelab.ranks import Ranks
    def sleep(ctx):
        print("asleep")
        time.sleep(60)
    try:
        Ranks(2).run(sleep)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        print(Ranks(2).run(lambda ctx: ctx.rank), flush=True)
"""


@pytest.fixture
def ranks():
    """Two ranks, none of which is left afterwards, and that run again."""
    pool = Ranks(2)
    pool.warm()
    yield pool
    assert Ranks(2).run(lambda ctx: ctx.rank) == [0, 1]
    server = psutil.Process(SERVER.process.pid)
    assert gone(server.children())


@contextlib.contextmanager
def soon(seconds: float = 25):
    """Fails what takes longer. It takes a fraction of this, but the machine may be busy; without help it takes more."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < seconds


def test_an_exception_is_raised_as_itself(ranks) -> None:
    def fail(ctx):
        ctx.at("1F3")
        if ctx.rank == 1:
            [][7]
        dist.barrier()  # the other rank waits for one that will not come

    with soon(), pytest.raises(IndexError, match="list index out of range") as caught:
        ranks.run(fail)
    (note,) = caught.value.__notes__
    assert note.startswith("rank 1 raised this while at 1F3:\nTraceback")
    assert "in fail" in note


def test_an_exception_of_a_class_of_the_users_own(ranks) -> None:
    """It can't be rebuilt from its args, as pickle would: they are not what its constructor takes."""

    class Odd(Exception):
        def __init__(self, number, *, unit):
            super().__init__(f"{number} {unit}")
            self.number = number

    def fail(ctx):
        raise Odd(3, unit="ms")

    with pytest.raises(Odd, match="^3 ms") as caught:
        ranks.run(fail)
    assert caught.value.number == 3


@pytest.mark.parametrize("end", [sys.exit, lambda: signal.raise_signal(signal.SIGTERM)], ids=["exit", "SIGTERM"])
def test_what_ends_a_rank_does_not_end_the_notebook(ranks, end) -> None:
    with soon(), pytest.raises(RankError, match="SystemExit|rank 0 was killed by SIGTERM"):
        ranks.run(lambda ctx: end() if ctx.rank == 0 else dist.barrier())


def test_an_exception_that_can_not_be_pickled(ranks) -> None:
    def fail(ctx):
        class Odd(Exception):
            def __init__(self, a, b):
                super().__init__(a, b)

        raise Odd(1, threading.Lock())

    with pytest.raises(RankError, match=r"Odd: \(1, "):
        ranks.run(fail)


@pytest.mark.parametrize(
    ("end", "message"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "rank 1 was killed by SIGKILL while at 2B1"),
        (lambda: os.kill(os.getpid(), signal.SIGSEGV), "rank 1 was killed by SIGSEGV"),
        (lambda: os._exit(0), "rank 1 ended with exit status 0"),
    ],
    ids=["SIGKILL", "SIGSEGV", "exit"],
)
def test_a_rank_that_dies_is_the_cause_not_those_it_leaves_waiting(ranks, tmp_path, end, message) -> None:
    known = tmp_path / "known"

    def die(ctx):
        ctx.at("2B1")
        while not known.exists():
            time.sleep(0.01)
        if ctx.rank == 1:
            end()
        dist.recv(torch.ones(1), 1)

    def note(progress):
        if progress.where[1] == "2B1":
            known.touch()

    with soon(), pytest.raises(RankDied, match=message):
        ranks.run(die, progress=note)


def test_killed_from_outside(ranks) -> None:
    def wait(ctx):
        ctx.at(str(os.getpid()))
        time.sleep(60)

    def kill(progress):
        if progress.where[0].isdigit():
            os.kill(int(progress.where[0]), signal.SIGKILL)

    with soon(), pytest.raises(RankDied, match="rank 0 was killed by SIGKILL"):
        ranks.run(wait, progress=kill)


def test_a_deadlock_says_who_waits_for_whom(ranks) -> None:
    def wait(ctx):
        ctx.at(f"{ctx.rank}RECV_F0", waiting=True, waits_for=1 - ctx.rank)
        dist.recv(torch.ones(1), 1 - ctx.rank)

    with soon(), pytest.raises(Deadlock) as caught:
        ranks.run(wait, stall=1)
    assert "rank 0 waits at 0RECV_F0 for rank 1" in str(caught.value)
    assert "rank 1 waits at 1RECV_F0 for rank 0" in str(caught.value)
    assert "dist.recv(" in str(caught.value)


def test_a_receive_that_never_comes(ranks) -> None:
    """Nobody has noted with ctx.at that it waits: a rank is seen to stand in torch.distributed, and to do nothing."""

    def wait(ctx):
        if ctx.rank:
            dist.irecv(torch.ones(1), 0).wait()
        dist.recv(torch.ones(1), 1)

    with soon(), pytest.raises(Deadlock) as caught:
        ranks.run(wait, stall=1)
    assert "rank 0 waits at its own code  (test_faults.py" in str(caught.value)
    assert "irecv" in str(caught.value)


def test_a_rank_that_has_finished_never_sends(ranks) -> None:
    with soon(), pytest.raises(Deadlock, match="rank 1 has finished"):
        ranks.run(lambda ctx: ctx.rank or dist.recv(torch.ones(1), 1), stall=1)


def test_slow_is_no_deadlock(ranks) -> None:
    def wait(ctx):
        if ctx.rank:
            time.sleep(2.5)
            return dist.send(torch.ones(1), 0)
        return dist.recv(torch.ones(1), 1)

    ranks.run(wait, stall=0.5)


def test_working_in_a_wait_is_no_deadlock(ranks) -> None:
    """As a large transfer would: the main thread is in a wait, but the process works."""

    def work(ctx):
        def compute_and_send():
            sum(range(100_000_000))
            dist.send(torch.ones(1), 1 - ctx.rank)

        threading.Thread(target=compute_and_send).start()
        return dist.recv(torch.ones(1), 1 - ctx.rank)

    assert ranks.run(work, stall=0.2) == [1, 0]


def test_a_timeout_says_where_each_rank_is(ranks) -> None:
    def endless(ctx):
        while ctx.rank:
            pass

    with soon(), pytest.raises(RankTimeout, match=r"not done after 4 s") as caught:
        ranks.run(endless, timeout=4)
    assert "rank 0 has finished" in str(caught.value)
    assert "while ctx.rank" in str(caught.value)


def test_cancel(ranks) -> None:
    cancel = threading.Event()
    threading.Timer(0.3, cancel.set).start()
    with soon(), pytest.raises(Cancelled):
        ranks.run(lambda ctx: time.sleep(60), cancel=cancel)


def test_a_failing_progress_callback_ends_the_run(ranks) -> None:
    def fail(states):
        raise ZeroDivisionError

    with soon(), pytest.raises(ZeroDivisionError):
        ranks.run(lambda ctx: time.sleep(60), progress=fail)


def test_the_forkserver_is_killed(ranks) -> None:
    os.kill(SERVER.process.pid, signal.SIGKILL)
    SERVER.process.wait()


def test_the_forkserver_is_killed_in_a_run(ranks) -> None:
    with soon(), pytest.raises(RankError):
        ranks.run(lambda ctx: time.sleep(60), progress=lambda at: os.kill(SERVER.process.pid, signal.SIGKILL))


def test_interrupts_while_ranks_start(ranks) -> None:
    """An answer of the forkserver's that an interrupt kept from being heard is not taken for the next one's."""
    for _ in range(20):
        with SERVER.lock:
            SERVER.asked += 1
            SERVER.channel.sendall(json.dumps({"number": SERVER.asked, "do": "reap", "pid": 0}).encode() + b"\n")
        assert ranks.run(lambda ctx: ctx.rank) == [0, 1]


def test_the_forkserver_is_ended(ranks) -> None:
    server = psutil.Process(SERVER.process.pid)
    SERVER.close()
    assert not server.is_running()


def test_an_interrupt_stops_all_ranks() -> None:
    with driver(SLEEPER) as process:
        assert process.stdout.readline().endswith("asleep\n")
        sleeping = [p for p in descendants(process.pid, 3) if p.ppid() != process.pid]
        process.send_signal(signal.SIGINT)
        with soon():
            rest = process.stdout.read().splitlines()
        assert rest[-2:] == ["interrupted", "[0, 1]"]
        assert len(sleeping) == 2
        assert gone(sleeping)


def test_no_rank_survives_its_kernel() -> None:
    with driver(SLEEPER) as process:
        process.stdout.readline()
        all_below = descendants(process.pid, 3)
        process.kill()
        assert gone(all_below)


def test_two_kernels_at_once() -> None:
    code = "from pipelab.ranks import Ranks; print([sum(Ranks(3).run(lambda ctx: ctx.rank)) for _ in range(5)])"
    with driver(code) as one, driver(code) as two:
        for process in (one, two):
            assert process.communicate(timeout=60)[0] == "[3, 3, 3, 3, 3]\n"
