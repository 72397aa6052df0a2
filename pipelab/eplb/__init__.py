"""Expert load balancing: which experts get replicas, and which GPU holds which. It needs numpy alone."""

from .loads.files import read_load
from .loads.predict import MovingAverage, Window
from .loads.recorded import RECORDINGS, RecordedLoads, recorded_loads
from .loads.skew import dead, skew
from .loads.synthetic import drifting, lognormal, one_hot, zipf
from .plan import Plan
from .policies import POLICIES, contiguous, rebalance, rebalance_experts

__all__ = [
    "POLICIES",
    "RECORDINGS",
    "MovingAverage",
    "Plan",
    "RecordedLoads",
    "Window",
    "contiguous",
    "dead",
    "drifting",
    "lognormal",
    "one_hot",
    "read_load",
    "recorded_loads",
    "rebalance",
    "rebalance_experts",
    "skew",
    "zipf",
]
