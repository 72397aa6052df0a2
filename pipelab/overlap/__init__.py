"""A forward and a backward on one rank at once: each computes while the other's rows travel."""

from .interleave import SegmentedPass, run_segments
from .segmented import Exchange, Segmented, SegmentedSequence

__all__ = ["Exchange", "Segmented", "SegmentedPass", "SegmentedSequence", "run_segments"]
