"""Traces of PyTorch's profiler: kernels, streams, and how much of the communication is hidden."""

from .load import load_profile
from .profile import Profile

__all__ = ["Profile", "load_profile"]
