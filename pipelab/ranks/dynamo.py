"""torch._dynamo, which compiles: it takes as long to import as the rest of torch, and stays out until it is wanted."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import torch

NAME = "torch._dynamo"


def leave_out() -> None:
    """From now on optimizers do not import it.

    By themselves they do, in the first rank that makes one as in the last: to tell it that it must not compile some of
    their methods. Where nobody has imported it, nothing compiles.
    """
    for optimizer in (torch.optim.Optimizer, *torch.optim.Optimizer.__subclasses__()):
        for name, method in list(vars(optimizer).items()):
            code = getattr(method, "__code__", None)
            if code and NAME in code.co_names and hasattr(method, "__wrapped__"):
                setattr(optimizer, name, _unless_imported(method, of_step=name == "step"))


def _unless_imported(method: Any, of_step: bool) -> Callable[..., Any]:
    """The method as it is where torch._dynamo is imported, else what it wraps."""

    @functools.wraps(method)
    def call(self: torch.optim.Optimizer, *arguments: Any, **named: Any) -> Any:
        if NAME in sys.modules:
            return method(self, *arguments, **named)
        gradients = self.defaults["differentiable"] if of_step else torch.is_grad_enabled()
        with torch.set_grad_enabled(gradients):
            return method.__wrapped__(self, *arguments, **named)

    return call
