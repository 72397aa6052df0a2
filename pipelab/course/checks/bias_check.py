"""Bias check: does a student's update of the bias keep experts' loads even, on examples and on a real router?"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...eplb import skew
from ..isolation.runner import in_a_line
from .feedback import Feedback

if TYPE_CHECKING:
    from torch import Tensor

Update = Callable[["Tensor", "Tensor"], "Tensor"]

_STEPS, _LAST = 200, 40  # of the real router; of these the loads are added up
_EVEN = 1.15  # the skew that is wanted then
_MUST = {-1: "fall", 0: "stay", 1: "rise"}
_DOES = {-1: "falls", 0: "stays the same", 1: "rises"}


def check_bias(update: Update) -> Feedback:
    """Check a student's update of the bias by which a router keeps its experts' loads even.

    First on small loads: an expert that was chosen more often than the mean must be less likely to be chosen next time,
    one that was chosen less often more likely. Then it steers a real router, whose tokens favour few of its experts.

    Parameters
    ----------
    update : function (bias, load) -> the next bias
        All of them tensors [experts]. It is called after every step.

    Examples
    --------
    >>> check_bias(lambda bias, load: bias)
    ✗ The bias does not yet move against the load
      - expert 0 was chosen 9 times, the mean is 5: its bias must fall, and it stays the same
      - expert 1 was chosen 1 times, the mean is 5: its bias must rise, and it stays the same
    """
    import torch

    load = torch.tensor([9, 1, 5, 5])
    try:
        for bias in (torch.zeros(4), torch.tensor([0.5, -0.5, 0.25, 0.0])):
            after = update(bias.clone(), load.clone())
            if problem := _no_bias(after, 4):
                return Feedback(False, "Not a bias yet", (problem,))
            if reasons := _against(bias, after, load):
                return Feedback(False, "The bias does not yet move against the load", tuple(reasons))
        reached, alone = _steered(update), _steered(lambda bias, _: bias)
    except Exception as error:
        return Feedback(False, "Your function fails", (in_a_line(error),))
    figures = f"a real router's busiest expert over the mean, after {_STEPS} steps: {reached:.2f}"
    without = f"without any bias it is {alone:.2f}"
    if reached < _EVEN:
        return Feedback(True, "Right: the loads get even", (f"{figures}; {without}",))
    advice = f"{without}; {_EVEN} or less is wanted. Are your steps too small, or too large?"
    return Feedback(False, "The right direction, but the loads do not get even", (figures, advice))


def _no_bias(after: object, experts: int) -> str:
    """Why this is not a bias; empty if it is one."""
    import torch

    if after is None:
        return "it returns None; return the next bias"
    if not isinstance(after, torch.Tensor) or after.shape != (experts,):
        shape = list(after.shape) if isinstance(after, torch.Tensor) else type(after).__name__
        return f"return a tensor with one number for each of {experts} experts; got {shape}"
    return "" if after.isfinite().all() else "it has numbers that are not finite"


def _against(before: Tensor, after: Tensor, load: Tensor) -> list[str]:
    """The experts whose bias does not move as their loads ask for."""
    mean = load.float().mean()
    return [
        f"expert {expert} was chosen {load[expert]} times, the mean is {mean:g}: its bias must {_MUST[wanted]}"
        f"{f' from {old:g}' if (old := float(before[expert])) else ''}, and it {_DOES[moved]}"
        for expert, (wanted, moved) in enumerate(zip(_signs(mean - load), _signs(after - before), strict=True))
        if wanted != moved
    ]


def _signs(values: Tensor) -> list[int]:
    return ((values > 1e-9).int() - (values < -1e-9).int()).tolist()


def _steered(update: Update) -> float:
    """The skew that a real router reaches when this updates its bias."""
    import torch

    from ...moe import Router

    threads, generator = torch.get_num_threads(), torch.Generator().manual_seed(0)
    torch.set_num_threads(1)  # so little work takes longer with more, on a busy machine much longer
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            router = Router(16, num_experts=8, top_k=2, score="sigmoid", balance="bias")
            router.linear.weight.copy_(0.25 * torch.randn(8, 16, generator=generator))
            towards = 0.7 * torch.randn(16, generator=generator)  # what all tokens have in common
            total = torch.zeros(8, dtype=torch.int64)
            for step in range(_STEPS):
                tokens = torch.randn(256, 16, generator=generator) + towards
                load = router(tokens).experts.flatten().bincount(minlength=8)
                router.bias.copy_(update(router.bias.clone(), load))
                total += load if step >= _STEPS - _LAST else 0
        return float(skew(total))
    finally:
        torch.set_num_threads(threads)
