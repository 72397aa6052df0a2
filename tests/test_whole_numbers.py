"""Sizes: every public function takes 4 and 4.0 alike, and refuses True and 4.5 by the parameter's name."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from pipelab import (
    Costs,
    Plan,
    Timeline,
    build,
    compare_schedules,
    course,
    eplb,
    estimate_step,
    ir,
    models,
    moe,
    ranks,
    rebalance,
    runtime,
    schedules,
    serve,
    show,
    simulate,
    simulator,
    theory,
    timeline,
)
from tests.test_signatures import SIGNATURES, SIZES

LOAD = eplb.lognormal(2, 8, seed=0)
PLAN = {"replicas": 8, "gpus": 4, "nodes": 2, "groups": 2}
MADE = {"layers": 2, "experts": 8, "tokens": 100}
PIPELINE = {"ranks": 4, "microbatches": 8}
LAYER = {"width": 8, "hidden": 8, "num_experts": 4, "top_k": 2}


def greedy(load: Any, *sizes: int) -> Any:
    assert {type(size) for size in sizes} == {int}
    return rebalance(load, *sizes).physical_to_logical


def gpipe(ranks: int, microbatches: int) -> Any:
    assert type(ranks) is type(microbatches) is int
    return schedules.gpipe(ranks, microbatches)


#: Function -> sizes that suit it. It is called with each of them in turn as another kind of number.
CALLS: list[tuple[Callable[..., Any], dict[str, int]]] = [
    *((builder, PIPELINE) for name, builder in schedules.SCHEDULES.items() if name != "interleaved"),
    (schedules.interleaved_1f1b, {**PIPELINE, "chunks": 2}),
    *((partial(function, "interleaved"), {**PIPELINE, "chunks": 2}) for function in (build, theory)),
    *((function, {"ranks": 4}) for function in (ir.linear, ir.v_shape, ir.bidirectional, ranks.Ranks)),
    (ir.looped, {"ranks": 4, "chunks": 2}),
    (schedules.registered("interleaved").options, {"chunks": 2}),
    (partial(compare_schedules, schedules=["interleaved"]), {**PIPELINE, "chunks": 2}),
    (partial(estimate_step, schedules=["gpipe"]), PIPELINE),
    (partial(course.schedule_of, gpipe), PIPELINE),
    *((partial(function, seed=0), MADE) for function in (eplb.lognormal, eplb.zipf, eplb.one_hot)),
    (partial(eplb.drifting, seed=0), {"windows": 3, **MADE}),
    (partial(rebalance, LOAD), PLAN),
    (partial(eplb.contiguous, LOAD), PLAN),
    (partial(Plan.from_map, rebalance(LOAD, 8, 4).physical_to_logical, LOAD), {"gpus": 4, "nodes": 2, "groups": 2}),
    *((partial(function, greedy, LOAD), PLAN) for function in (course.plan_of, course.check_balancer)),
    (partial(show.explore_algorithm, LOAD[0]), PLAN),
    (partial(show.explore_balance, LOAD), PLAN),
    *((function, {**PIPELINE, "steps": 3}) for function in (show.explore_schedule, show.explore_bubble)),
    *((function, PIPELINE) for function in (show.explore_comparison, show.explore_estimate)),
    (show.explore_overlap, {"ranks": 2, "repeats": 1}),
    (show.explore_serving, {"experts": 16, "ranks": 4, "spare": 1}),
    (models.batches, {"batch_size": 2, "sequence_length": 8, "steps": 1}),
    (models.stdlib_text, {"limit": 100}),
    (models.transformer_stages, {"num_stages": 2, "layers": 2, "width": 8, "heads": 2, "sequence_length": 8}),
    (models.Embedding, {"width": 8, "sequence_length": 8}),
    *((module, {"width": 8, "heads": 2}) for module in (models.Attention, models.Block)),
    (models.Head, {"width": 8}),
    (moe.Expert, {"width": 8, "hidden": 8}),
    (moe.MoE, LAYER),
    (moe.MoEBlock, {**LAYER, "heads": 2}),
    (moe.Router, {"width": 8, "num_experts": 4, "top_k": 2, "nodes": 2}),
    (partial(moe.dispatch_plan, torch.tensor([[0], [3]])), {"num_experts": 4}),
    (partial(simulator.place_segments, "deepseek", Costs(8, 8, 8, forward_comm=8)), {"layers": 2}),
    (partial(course.check_order, "deepseek", Costs(8, 8, 8, forward_comm=8)), {"layers": 2}),
    (Costs().cut, {"parts": 2}),
    (partial(Timeline.from_spans, simulate(schedules.gpipe(2, 2)).spans, "mine"), {"num_ranks": 2}),
    (partial(timeline.Dependencies, simulate(schedules.gpipe(2, 2)).spans), {"num_ranks": 2}),
    (course.GradedSubmission("ann", "pipes", "Pipes", 1, ()).table, {"width": 80}),
    (partial(show.text_timeline, simulate(schedules.gpipe(2, 2))), {"width": 80}),
    (partial(show.plot_plan, rebalance(LOAD, 8, 4)), {"layer": 1}),
]
#: These start real ranks: what is wrong with their sizes is found before.
STARTING: list[tuple[Callable[..., Any], list[str]]] = [
    (ranks.examine, ["ranks"]),
    (moe.hide, ["ranks", "layers", "width", "tokens", "experts", "top_k", "repeats"]),
    (partial(serve, LOAD), ["ranks", "replicas", "every", "tokens", "steps", "width", "hidden"]),
    (partial(runtime.run, schedules.gpipe(2, 2)), ["steps", "expert_ranks", "seed"]),
]
#: Of things that have been checked when they were made; what they are asked for comes from there.
OF_CHECKED = {"Costs.require_stages", "Costs.journeys", "Placement.route_of", "Placement.rank_of"}


def named(function: Callable[..., Any]) -> str:
    function = getattr(function, "func", function)
    return getattr(function, "__qualname__", "")


def cases() -> list[Any]:
    return [
        pytest.param(function, sizes, name, id=f"{named(function)}-{name}")
        for function, sizes in CALLS
        for name in sizes
    ]


def looks(thing: Any) -> str:
    """Its repr, and what it holds; without its place in memory."""
    held = vars(thing) if isinstance(thing, ranks.Ranks) else ""
    return re.sub(r" at 0x[0-9a-f]+", "", f"{thing!r} {held}")


@pytest.mark.parametrize(("function", "sizes", "name"), cases())
def test_whole_numbers_are_taken_in_every_form(function, sizes, name):
    expected = looks(function(**sizes))
    for same in (float(sizes[name]), np.int64(sizes[name]), torch.tensor(sizes[name])):
        assert looks(function(**{**sizes, name: same})) == expected


@pytest.mark.parametrize(("function", "sizes", "name"), cases())
@pytest.mark.parametrize("wrong", [True, 4.5])
def test_other_numbers_are_refused_by_name(function, sizes, name, wrong):
    with pytest.raises(ValueError, match=rf"^{name} must be a whole number; got {wrong}$"):
        function(**{**sizes, name: wrong})


@pytest.mark.parametrize("wrong", [True, 4.5])
@pytest.mark.parametrize(
    ("function", "name"), [pytest.param(f, name, id=f"{named(f)}-{name}") for f, names in STARTING for name in names]
)
def test_before_ranks_are_started(function, name, wrong):
    with pytest.raises(ValueError, match=rf"{name} must be a whole number; got {wrong}$"):
        function(**{name: wrong})


def test_those_of_the_published_signature():
    assert (
        eplb.rebalance_experts(LOAD, 8.0, 2.0, 2.0, 4.0)[0].tolist()
        == rebalance(LOAD, 8, 4, 2, 2).physical_to_logical.tolist()
    )
    for place, name in enumerate(("replicas", "groups", "nodes", "gpus")):
        with pytest.raises(ValueError, match=f"^{name} must be a whole number; got True$"):
            eplb.rebalance_experts(LOAD, *(True if i == place else size for i, size in enumerate((8, 2, 2, 4))))


def test_every_size_is_tried():
    """Of every public function; but for constructors of records, and what is asked of things that have been checked."""
    tried = {(named(f), name) for f, sizes in CALLS for name in sizes}
    tried |= {(named(f), name) for f, names in STARTING for name in names}
    tried = {(each.removesuffix(".__init__"), name) for each, name in tried}
    missing = []
    for path, signature in SIGNATURES.items():
        room, name = re.search(r"([a-z]\w*)\.((?:[A-Z]\w*\.)?\w+)$", path).groups()  # type: ignore[union-attr]
        for size in signature.parameters:
            whole = "int" in str(signature.parameters[size].annotation)
            if size in SIZES and whole and name not in OF_CHECKED and (name, size) not in tried:
                missing.append((path, size))
    assert missing == []
