# The front door: each public name and the room it lives in, for type checkers and for lazy loading alike.
from .autograd import SplitBackward as SplitBackward
from .eplb import (
    Plan as Plan,
    rebalance as rebalance,
    rebalance_experts as rebalance_experts,
    recorded_loads as recorded_loads,
)
from .ir import (
    Action as Action,
    Placement as Placement,
    Problem as Problem,
    Schedule as Schedule,
    ScheduleError as ScheduleError,
    check as check,
    forward_only as forward_only,
    from_csv as from_csv,
    lower as lower,
    to_csv as to_csv,
)
from .profiler import Profile as Profile, load_profile as load_profile
from .ranks import Ranks as Ranks, examine as examine
from .runtime import Run as Run, run as run
from .schedules import SCHEDULES as SCHEDULES, build as build, theory as theory
from .schedules.dualpipe import dualpipe as dualpipe
from .schedules.dualpipe_v import dualpipe_v as dualpipe_v
from .schedules.gpipe import gpipe as gpipe
from .schedules.interleaved import interleaved_1f1b as interleaved_1f1b
from .schedules.naive import naive as naive
from .schedules.one_f_one_b import one_f_one_b as one_f_one_b
from .schedules.zb_h1 import zb_h1 as zb_h1
from .schedules.zb_h2 import zb_h2 as zb_h2
from .schedules.zb_v import zb_v as zb_v
from .serving import (
    serve as serve,
)
from .show import (
    compare as compare,
    explore_algorithm as explore_algorithm,
    explore_balance as explore_balance,
    explore_bubble as explore_bubble,
    explore_comparison as explore_comparison,
    explore_estimate as explore_estimate,
    explore_overlap as explore_overlap,
    explore_schedule as explore_schedule,
    explore_serving as explore_serving,
    plot as plot,
    plot_curves as plot_curves,
    plot_loads as plot_loads,
    plot_memory as plot_memory,
    plot_plan as plot_plan,
    plot_profile as plot_profile,
    plot_rebalancing as plot_rebalancing,
    plot_savings as plot_savings,
    plot_segments as plot_segments,
    plot_serving as plot_serving,
)
from .simulator import (
    Costs as Costs,
    place_segments as place_segments,
    recorded_segments as recorded_segments,
    simulate as simulate,
)
from .study import compare_schedules as compare_schedules, estimate_step as estimate_step
from .table import Table as Table
from .timeline import (
    Span as Span,
    Timeline as Timeline,
    from_chrome_trace as from_chrome_trace,
    to_chrome_trace as to_chrome_trace,
)
