# The front door: seven nouns, a few verbs, and the rooms, which hold the rest; for type checkers and for lazy loading.
# isort: off

# Nouns: a schedule says what each rank does, in what order; costs, how long an action takes; a timeline, what happened
# when; a run, what real ranks did; a plan, which GPU holds which expert.
from .ir import Action as Action, Placement as Placement, Schedule as Schedule
from .simulator import Costs as Costs
from .timeline import Timeline as Timeline
from .runtime import Run as Run
from .eplb import Plan as Plan

# Verbs: make a schedule, and see what is known of it, what is wrong with it, how long it takes, and how it compares;
from .schedules import build as build, theory as theory
from .ir import check as check
from .simulator import simulate as simulate
from .study import compare_schedules as compare_schedules, estimate_step as estimate_step

# run it on real ranks; draw it, and prediction and measurement side by side;
from .runtime import run as run
from .show import plot as plot, compare as compare

# plan where experts go, and serve them so.
from .eplb import rebalance as rebalance
from .serving import serve as serve

# Rooms: pipelab.eplb.zipf(…), pipelab.show.explore_schedule(…).
from . import ir as ir, schedules as schedules, timeline as timeline, profiler as profiler
from . import simulator as simulator, study as study
from . import models as models, ranks as ranks, autograd as autograd, overlap as overlap, runtime as runtime
from . import moe as moe, eplb as eplb, serving as serving
from . import show as show, table as table, course as course
