"""The update of the bias: right ones pass, wrong ones hear why."""

import subprocess
import sys

import pytest
import torch

from pipelab.course import check_bias


def towards(step):
    return lambda bias, load: bias + step * (load.float().mean() - load).sign()


@pytest.mark.parametrize(
    "update",
    [towards(0.01), towards(0.002), lambda bias, load: bias + 0.02 * (1 - load / load.float().mean())],
    ids=["by sign", "by small steps", "in proportion"],
)
def test_every_update_that_evens_the_loads_passes(update):
    answer = check_bias(update)
    assert answer and "without any bias it is 2." in answer.reasons[0]


def in_place(bias, load):
    bias += 0.01 * (load.float().mean() - load).sign()
    return bias


def test_changing_the_bias_in_place_is_fine():
    assert check_bias(in_place)


@pytest.mark.parametrize(
    ("update", "said"),
    [
        (lambda bias, load: bias, "expert 0 was chosen 9 times, the mean is 5: its bias must fall, and it stays"),
        (towards(-0.01), "its bias must fall, and it rises"),
        (lambda bias, load: towards(0.01)(0 * bias, load), "its bias must stay from 0.25, and it falls"),
        (towards(0.5), "Are your steps too small, or too large"),
        (towards(1e-5), "Are your steps too small, or too large"),
        (lambda bias, load: None, "it returns None"),
        (lambda bias, load: bias[:2], "one number for each of 4 experts; got [2]"),
        (lambda bias, load: [0.0], "got list"),
        (lambda bias, load: bias * torch.nan, "not finite"),
        (lambda bias, load: bias + missing, "NameError"),  # noqa: F821
    ],
)
def test_a_wrong_one_hears_why(update, said):
    answer = check_bias(update)
    assert not answer and said in "\n".join(answer.reasons)


def test_torchs_state_stays_as_it_was():
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    check_bias(towards(0.01))
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads


def test_the_room_is_light_until_a_check_needs_torch():
    code = "import sys, pipelab.course; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "False"
