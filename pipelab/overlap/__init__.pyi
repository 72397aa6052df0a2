from .interleave import SegmentedPass as SegmentedPass, run_segments as run_segments
from .segmented import Exchange as Exchange, Segmented as Segmented, SegmentedSequence as SegmentedSequence
