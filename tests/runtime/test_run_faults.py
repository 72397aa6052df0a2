"""run refuses what can't run before a process is started, and what fails on the ranks ends within seconds."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import pytest
import torch
from torch import nn

from pipelab import Action, Costs, Schedule, run
from pipelab.ir import ScheduleError, linear
from pipelab.ranks import Cancelled, Progress, RankDied, RankTimeout
from pipelab.ranks.forkserver_client import ForkServer
from pipelab.schedules import gpipe
from tests.runtime.small import linears, mse, vectors


class TestRefusals:
    """Found before a process is started."""

    @pytest.fixture(autouse=True)
    def _no_process(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ForkServer, "ready", lambda *_: pytest.fail("a process was asked for"))

    @pytest.mark.parametrize("count", [0, 2, 4])
    def test_stages(self, count: int) -> None:
        with pytest.raises(ValueError, match=f"3 stages; the list of stages has {count}"):
            run(gpipe(3, 2), linears(count), vectors(4), loss=mse)

    @pytest.mark.parametrize("size", [0, 1, 6])
    def test_batch(self, size: int) -> None:
        with pytest.raises(ValueError, match=f"4 micro-batches don't divide a batch of {size}"):
            run(gpipe(2, 4), linears(2), vectors(size), loss=mse)

    def test_steps(self) -> None:
        with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
            run(gpipe(2, 2), steps=0)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("0F0,0F1,0B0,0B1\n1F0,1F1,1B0", "rank 1 never does 1B1"),
            ("0F0,0F1,0B0,0B1\n1F0,1F1,1B0,1B1,1B1", "1B1 is there 2 times; once is right"),
            ("0F0,0F1,0B0,0B1,1B1\n1F0,1F1,1B0", "rank 0 has 1B1, but this stage of this micro-batch is on rank 1"),
            ("0F0,0B0,0F1,0B1\n1F1,1F0,1B0,1B1", "rank 0 waits at 0B0 for 1B0 from rank 1, which never comes"),
        ],
        ids=["missing", "doubled", "misplaced", "deadlock"],
    )
    def test_a_schedule_that_is_wrong(self, text: str, reason: str) -> None:
        programs = tuple(tuple(map(Action.parse, line.split(","))) for line in text.splitlines())
        with pytest.raises(ScheduleError, match=reason):
            run(Schedule("wrong", linear(2), 2, programs))

    @pytest.mark.parametrize(
        ("arguments", "options", "message"),
        [
            (["gpipe"], {}, "the schedule must be a Schedule, such as gpipe.*; got 'gpipe'"),
            ([gpipe(2, 2)], {"pace": 10}, "pace must be Costs, such as .*; got 10"),
            ([gpipe(2, 2)], {"pace": Costs(unit="h")}, "'h' is no known unit of time; there are s, ms, us, ns"),
            ([gpipe(2, 2)], {"pace": Costs(forward=[1, 2, 3])}, "forward lists 3 costs; the schedule has 2 stages"),
            ([gpipe(2, 2), [None, None]], {}, "a stage must be an nn.Module or a function that makes one; got None"),
            ([gpipe(2, 2), 2], {}, "stages must be a list of modules.*; got 2"),
            ([gpipe(2, 2), None, 3], {}, "a batch is a pair of tensors.*; got 3"),
            ([gpipe(2, 2), None, [(torch.ones(4), 3)]], {}, "a batch is a pair of tensors.*; got .'Tensor', 'int'"),
            ([gpipe(2, 2), None, torch.ones(4)], {}, "training needs batches of .inputs, targets.; got inputs only"),
            ([gpipe(2, 2), None, (torch.ones(4), torch.ones(6))], {}, "4 inputs, but 6 targets"),
            ([gpipe(2, 2), None, []], {}, "the list of batches is empty"),
            ([gpipe(2, 2)], {"loss": "mse"}, "loss must be a function; got 'mse'"),
            ([gpipe(2, 2)], {"optimizer": 3}, "optimizer must be a function; got 3"),
            ([gpipe(2, 2)], {"dtype": "float64"}, "dtype must be a floating-point type.*; got 'float64'"),
            ([gpipe(2, 2)], {"seed": 0.5}, "seed must be a whole number; got 0.5"),
            ([gpipe(2, 2)], {"seed": 2**63}, "seed must fit in 64 bits"),
            ([gpipe(2, 2)], {"timeout": 0}, "timeout must be a number of seconds above 0 .*; got 0"),
            ([gpipe(2, 2)], {"timeout": float("nan")}, "timeout must be a number .*; got nan"),
            ([gpipe(2, 2)], {"timeout": None}, "timeout must be a number .*; got None"),
            ([gpipe(2, 2)], {"stall": -1}, "stall must be a number of seconds above 0 .*; got -1"),
            ([gpipe(2, 2), None, [(torch.ones(4), torch.ones(4))]], {"steps": 2}, "2 steps need 2 batches; got 1"),
        ],
    )
    def test_arguments(self, arguments: list, options: dict, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            run(*arguments, **options)

    def test_device(self) -> None:
        with pytest.raises(ValueError, match="device must be"):
            run(gpipe(2, 2), device="tpu")


class TestFaults:
    """Each ends within seconds with its reason, and the next run works."""

    @pytest.fixture(autouse=True)
    def _the_next_run_works(self):
        yield
        assert run(gpipe(2, 2), linears(2), vectors(4), loss=mse).gradients_equal

    def test_an_exception_in_a_stage(self) -> None:
        class Failing(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                raise KeyError("no such thing")

        with pytest.raises(KeyError, match="no such thing") as caught:
            run(gpipe(2, 2), [linears(1)[0], Failing()], vectors(4), loss=mse)
        assert "rank 1 raised this while at 1F0" in caught.value.__notes__[0]
        assert "in forward" in caught.value.__notes__[0]

    def test_another_shape(self) -> None:
        class Shrinking(nn.Module):
            calls = 0

            def forward(self, x: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                return x[: 3 - self.calls]

        with pytest.raises(ValueError, match=r"stage 0 on micro-batch 1 returned \[1, 8\].* but \[2, 8\]"):
            run(gpipe(2, 2), [Shrinking(), linears(1)[0]], vectors(4), loss=mse, check=False)

    def test_no_tensor(self) -> None:
        class Pair(nn.Module):
            def forward(self, x: torch.Tensor) -> tuple:
                return x, x

        with pytest.raises(TypeError, match="returned tuple; a stage must return one tensor"):
            run(gpipe(2, 2), [Pair(), linears(1)[0]], vectors(4), loss=mse)

    def test_a_killed_rank(self) -> None:
        class Suicidal(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                os.kill(os.getpid(), signal.SIGKILL)
                return x

        began = time.monotonic()
        with pytest.raises(RankDied, match="rank 1 was killed by SIGKILL"):
            run(gpipe(2, 2), [linears(1)[0], Suicidal()], vectors(4), loss=mse)
        assert time.monotonic() - began < 60  # and not the 10 minutes that a run may take

    def test_cancel(self) -> None:
        cancel = threading.Event()
        pressed: list[float] = []

        def press(progress: Progress) -> None:
            if progress.done and not pressed:
                pressed.append(time.monotonic())
                cancel.set()

        given: dict[str, Any] = {"pace": Costs(2000, 1000, 1000), "cancel": cancel, "progress": press}
        with pytest.raises(Cancelled):
            run(gpipe(2, 8), linears(2), vectors(8), loss=mse, **given)
        assert time.monotonic() - pressed[0] < 15  # and not the half minute that is left

    def test_a_stage_without_end(self) -> None:
        """Its neighbour's receive never comes: the timeout says who waits for whom, and where the other is."""

        class Endless(nn.Module):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                while True:
                    pass

        with pytest.raises(RankTimeout) as caught:
            run(gpipe(2, 2), [linears(1)[0], Endless()], vectors(4), loss=mse, timeout=8)
        assert "rank 0 waits at 0RECV_B0 for rank 1" in str(caught.value)
        assert "rank 1 is at 1F0  (test_run_faults.py" in str(caught.value)

    @pytest.mark.parametrize(
        ("value", "message"), [(None, "got one None"), (torch.ones(2, 3), r"got one of shape \[2, 3\]")]
    )
    def test_a_loss_that_is_no_number(self, value: object, message: str) -> None:
        with pytest.raises(ValueError, match=f"the loss must be a tensor with one number.*{message}"):
            run(gpipe(2, 2), linears(2), vectors(4), loss=lambda output, target: value)

    def test_a_function_that_makes_no_module(self) -> None:
        with pytest.raises(TypeError, match="stage [01]'s function must return an nn.Module; it returned 3"):
            run(gpipe(2, 2), [lambda: 3] * 2, vectors(4), loss=mse)

    def test_no_input_gradient(self) -> None:
        class Constant(nn.Linear):
            def forward(self, x: torch.Tensor) -> torch.Tensor:
                return super().forward(torch.zeros_like(x))

        with pytest.raises(ValueError, match="stage 1's output does not depend on its input"):
            run(gpipe(2, 2), [linears(1)[0], Constant(8, 8)], vectors(4), loss=mse)
