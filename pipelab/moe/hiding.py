"""Hiding: one forward and one backward of a stage with experts, whose all-to-alls are hidden, or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..ir import Action, at_least
from ..ranks.pool import Ranks
from ..simulator import Costs
from ..simulator.pair_timing import PairTimes, SegmentCosts, pair_times
from ..timeline import Intervals, Span, Timeline

if TYPE_CHECKING:
    import threading

    from ..overlap.streams import SegmentSpan
    from ..ranks.errors import RankState
    from ..ranks.worker import RankContext

#: Of a segment's direction, the action that it is a part of: a backward's parts are for the input and for the weights.
PARTS = {"F": Action("F", 0, 1), "B": Action("I", 0, 0), "W": Action("W", 0, 0)}


@dataclass(frozen=True)
class Hiding:
    """What a forward and a backward of one stage took, on all ranks of an expert group, in ms; medians of `repeats`.

    forward, backward       each alone
    blocking                both, one after the other, every exchange waited for at once
    overlapped              both as one action
    compute, communication  what the two streams do in both together: busy time, whatever it overlaps with
    exposed                 of the overlapped pair's communication, what no computation hides
    gradients_equal         are those of the overlapped pair, and its outputs, the blocking one's, bit by bit?
    segments                  the overlapped pair's on rank 0, as (stream, name, direction, start, end)
    timelines               of the blocking and of the overlapped pair: F, I and W, segment by segment
    simulated               what the simulator says of these costs; None where there are none
    """

    forward: float
    backward: float
    blocking: float
    overlapped: float
    compute: float
    communication: float
    exposed: float
    gradients_equal: bool
    segments: tuple[tuple[str, str, str, float, float], ...]
    timelines: tuple[Timeline, Timeline]
    simulated: PairTimes | None = None

    @property
    def hidden_share(self) -> float:
        """Of all communication, the share that a computation hides."""
        return 1 - self.exposed / self.communication if self.communication else 1.0

    @property
    def over_ideal(self) -> float:
        """The overlapped pair's time / the larger of compute and communication."""
        return self.overlapped / max(self.compute, self.communication)


def hide(
    costs: Costs | None = None,
    *,
    ranks: int = 2,
    layers: int = 4,
    width: int = 16,
    tokens: int = 32,
    experts: int = 4,
    top_k: int = 2,
    latency_ms: float = 0.0,
    bandwidth: float | None = None,
    repeats: int = 5,
    seed: int = 0,
    progress: Callable[[list[RankState]], None] | None = None,
    cancel: threading.Event | None = None,
) -> Hiding:
    """Run them on real ranks: a stage of MoE blocks, its experts spread over all ranks.

    costs                  in ms, of the whole stage: each segment does its real work and is then held to an equal share
                           of them; exchanges to one of forward_comm or backward_input_comm. None: not held.
    latency_ms, bandwidth  without costs: the emulated link of every exchange; bandwidth in bytes per ms
    tokens                 per rank;  width: of the stream, a multiple of 4
    progress, cancel       as of :meth:`pipelab.Ranks.run`

    ValueError for numbers that don't fit.
    """
    if costs is not None:
        costs.require_stages(1)
    for name, number in {"layers": layers, "tokens": tokens, "repeats": repeats}.items():
        at_least(1, number, name)
    shape = {"hidden": 4 * width, "num_experts": experts, "top_k": top_k, "shared_hidden": width}
    link = (latency_ms / 1000, None if bandwidth is None else bandwidth * 1000)
    given = (costs, layers, width, tokens, shape, link, repeats, seed)
    reports = Ranks(ranks).run(_on_this_rank, *given, timeout=300, progress=progress, cancel=cancel)
    emulated = "emulated link" if costs is not None or latency_ms or bandwidth else ""
    found = _collect(reports, "paced" if costs is not None else "measured", emulated)
    return replace(found, simulated=pair_times(costs, 2 * layers)) if costs is not None else found


_Report = dict[str, list[tuple[float, float, "list[SegmentSpan]"]]]


def _on_this_rank(
    ctx: RankContext,
    costs: Costs | None,
    layers: int,
    width: int,
    tokens: int,
    shape: dict[str, int],
    link: tuple[float, float | None],
    repeats: int,
    seed: int,
) -> tuple[_Report, bool]:
    """(way -> (begin, end, segments) of each repetition; are all ways' results equal?)"""
    import torch
    import torch.distributed as dist

    from ..overlap.interleave import SegmentedPass, take_turns
    from ..overlap.pace import sharpen_sleep
    from ..overlap.segmented import SegmentedSequence
    from ..overlap.streams import Link, Streams
    from .dispatch import ExpertGroup
    from .layer import MoEBlock

    sharpen_sleep()
    group = ExpertGroup.of()
    stage = SegmentedSequence(*(MoEBlock(width, 4, seed=seed + layer, group=group, **shape) for layer in range(layers)))
    seconds = SegmentCosts.of(costs, 0, stage.exchanges).scaled(1 / 1000) if costs is not None else None
    generator = torch.Generator().manual_seed(seed * ctx.size + ctx.rank)
    first, second, gradient = torch.randn(3, 1, tokens, width, generator=generator)
    report: _Report = {}
    found: dict[str, list[torch.Tensor]] = {}

    def once(way: str) -> None:
        ctx.at(way)
        streams = Streams(Link(*link) if any(link) else None, blocking=way != "overlapped")
        before, after = (SegmentedPass(stage, streams, seconds=seconds) for _ in range(2))
        untimed = SegmentedPass(stage, Streams())
        stage.zero_grad()
        if way != "forward":
            before.streams, before.seconds = untimed.streams, None
            take_turns(before.forward(first))
            before.streams, before.seconds = streams, seconds
        dist.barrier()
        begin = streams.clock = time.monotonic()
        if way == "forward":
            take_turns(after.forward(second))
        elif way == "backward":
            take_turns(before.backward(gradient))
        else:
            results = take_turns(before.backward(gradient), after.forward(second))
            found[way] = [*results, *(p.grad.clone() for p in stage.parameters() if p.grad is not None)]
        report.setdefault(way, []).append((begin, time.monotonic(), streams.spans))

    for number in range(repeats + 1):
        for way in ("forward", "backward", "blocking", "overlapped"):
            once(way)
        if number == 0:
            report.clear()  # it has warmed up
    equal = all(torch.equal(a, b) for a, b in zip(found["blocking"], found["overlapped"], strict=True))
    return report, equal


def _collect(reports: Sequence[tuple[_Report, bool]], source: Any, note: str) -> Hiding:
    took: dict[str, float] = {}
    typical: dict[str, Timeline] = {}
    segments: tuple[tuple[str, str, str, float, float], ...] = ()
    for way in reports[0][0]:
        runs = [*zip(*(report[way] for report, _ in reports), strict=True)]  # each of all ranks
        times = [1000 * (max(end for _, end, _ in run) - min(begin for begin, _, _ in run)) for run in runs]
        middle = sorted(range(len(times)), key=times.__getitem__)[(len(times) - 1) // 2]
        took[way] = times[middle]
        zero = min(begin for begin, _, _ in runs[middle])
        spans = [
            Span(rank, span.stream, PARTS[span.direction], 1000 * (span.start - zero), 1000 * (span.end - zero))
            for rank, (_, _, found) in enumerate(runs[middle])
            for span in found
        ]
        typical[way] = Timeline.from_spans(spans, way, len(reports), source=source, unit="ms", note=note)
        segments = tuple(
            (span.stream, span.name, span.direction, 1000 * (span.start - zero), 1000 * (span.end - zero))
            for span in runs[middle][0][2]
        )
    compute, communication = (_busy(typical["overlapped"], stream) for stream in ("compute", "comm"))
    return Hiding(
        forward=took["forward"],
        backward=took["backward"],
        blocking=took["blocking"],
        overlapped=took["overlapped"],
        compute=compute,
        communication=communication,
        exposed=max(map(float, typical["overlapped"].exposed_communication)),
        gradients_equal=all(equal for _, equal in reports),
        segments=segments,
        timelines=(typical["blocking"], typical["overlapped"]),
    )


def _busy(timeline: Timeline, stream: str) -> float:
    """Of the rank on which it is busiest."""
    spans = [[s for s in timeline.spans if s.rank == rank and s.stream == stream] for rank in range(timeline.num_ranks)]
    return max(float(Intervals([s.start for s in each], [s.end for s in each]).total) for each in spans)
