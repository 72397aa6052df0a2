"""Plans as pictures: which GPU holds which replicas of experts, and what each has to do."""

from __future__ import annotations

from ...amounts import at_least
from ...eplb import Plan
from ..backends.drawing import scene_picture
from ..backends.picture import INCHES, UNITS, Picture
from ..figures import number
from ..scene.placement_scene import Allocation, draw_gpus, draw_layers, draw_legend, titled
from ..scene.shapes import Scene

_TALL = 240  # of the columns, in units


def plot_plan(plan: Plan, *, layer: int | None = None, before: Plan | None = None, width: float = INCHES) -> Picture:
    """Draw a plan: one column per GPU, stacked of the replicas that it holds; below, all layers' loads on every GPU.

    Replicas of an expert that has several are hatched.

    Parameters
    ----------
    plan : Plan
        Of one layer or several.
    layer : int, optional
        The one whose columns are drawn; by default that which is balanced the worst.
    before : Plan, optional
        Another plan of the same sizes: its GPUs' loads are lines across the columns.
    width : float
        In inches.

    Raises
    ------
    ValueError
        For a layer that is not there, a plan without layers, and a plan before of other sizes.

    Examples
    --------
    >>> from pipelab.eplb import lognormal, rebalance
    >>> plot_plan(rebalance(lognormal(4, 64, seed=0), replicas=72, gpus=8)).png()[1:4]
    b'PNG'
    """
    return scene_picture(plan_scene(plan, layer, before, width * UNITS))


def plan_scene(plan: Plan, layer: int | None, before: Plan | None, width: float) -> Scene:
    """What `plot_plan` shows."""
    layers = len(plan.load)
    if not layers:
        raise ValueError("the plan has no layers: there is nothing to draw")
    layer = int(plan.balancedness.argmin()) if layer is None else at_least(0, layer, "layer")
    if layer >= layers:
        raise ValueError(f"layer is 0 to {layers - 1}; got {layer}")
    if before is not None:
        before.check_sizes(plan.sizes)
    loads, earlier = plan.gpu_load[layer], before.under(plan.load).gpu_load[layer].tolist() if before else []
    of = f"layer {layer} · " if layers > 1 else ""
    figures = f"balancedness {plan.balancedness[layer]:.3f}, at most {plan.attainable[layer]:.3f}"
    scene = titled(f"{plan.policy} · {of}load of each GPU, mean {number(loads.mean())} (dashed) · {figures}", width)
    most = 1.08 * max(float(loads.max()), *earlier, 0.0)
    draw_gpus(scene, Allocation.of(plan, layer), most, float(loads.mean()), before=earlier, height=_TALL)
    if layers > 1:
        draw_layers(scene, plan, layer)
    draw_legend(scene, busiest=False, before=before.policy if before else "")
    return scene
