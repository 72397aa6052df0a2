from .loads.files import read_load as read_load
from .loads.predict import MovingAverage as MovingAverage, Window as Window
from .loads.recorded import (
    RECORDINGS as RECORDINGS,
    RecordedLoads as RecordedLoads,
    recorded_loads as recorded_loads,
)
from .loads.skew import dead as dead, skew as skew
from .loads.synthetic import drifting as drifting, lognormal as lognormal, one_hot as one_hot, zipf as zipf
from .plan import Plan as Plan
from .policies import (
    POLICIES as POLICIES,
    contiguous as contiguous,
    rebalance as rebalance,
    rebalance_experts as rebalance_experts,
)
