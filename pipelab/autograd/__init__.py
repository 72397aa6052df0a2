"""A backward in two parts: first the gradient that another rank waits for, later those of the parameters."""

from .split_backward import SplitBackward

__all__ = ["SplitBackward"]
