"""What must hold for a list of stages before it can be trained in a pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def may_exchange(stage: Any) -> bool:
    """Has it segments that exchange something? Of a function, which is called on a rank, nobody knows yet."""
    if isinstance(stage, type) or not hasattr(stage, "named_parameters"):
        return True
    return getattr(stage, "exchanges", 0) > 0


def require_separate(stages: Iterable[tuple[int, Any]]) -> None:
    """ValueError if two stages share a parameter. Stages that are functions, not modules yet, are passed over.

    Each rank has its own copy of what it is given: copies of one parameter would learn apart from each other.
    """
    found: dict[int, tuple[int, str]] = {}
    for stage, module in stages:
        if not hasattr(module, "named_parameters"):
            continue
        for name, parameter in module.named_parameters():
            other, its_name = found.setdefault(id(parameter), (stage, name))
            if other != stage:
                raise ValueError(
                    f"stages {other} and {stage} share a parameter ({its_name} of stage {other} is {name} of stage "
                    f"{stage}): on their ranks it would become two, which learn apart from each other. Give each stage "
                    "a parameter of its own, or put the layers that share one into one stage"
                )
