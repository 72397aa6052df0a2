from .split_backward import SplitBackward as SplitBackward
