from .dispatch import DispatchPlan as DispatchPlan, ExpertGroup as ExpertGroup, dispatch_plan as dispatch_plan
from .hiding import Hiding as Hiding, hide as hide
from .layer import (
    Expert as Expert,
    MoE as MoE,
    MoEBlock as MoEBlock,
    sum_replicated_gradients as sum_replicated_gradients,
)
from .router import Router as Router, Routing as Routing
