"""Hiding: one forward and one backward of a stage with experts, whose all-to-alls are hidden, or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..ir import Action, at_least
from ..ranks.pool import Ranks
from ..simulator import Costs
from ..simulator.pair_timing import PairTimes, SegmentCosts, pair_times
from ..table import ShownAsTable, Table
from ..timeline import Intervals, Span, Timeline

if TYPE_CHECKING:
    import threading

    from ..overlap.streams import SegmentSpan
    from ..ranks.errors import RankState
    from ..ranks.worker import RankContext

#: The action that a segment belongs to, by its direction. A backward has parts for the input and for the weights.
PARTS = {"F": Action("F", 0, 1), "B": Action("I", 0, 0), "W": Action("W", 0, 0)}


@dataclass(frozen=True)
class Hiding(ShownAsTable):
    """What a forward and a backward of one stage took on all ranks of an expert group. It shows itself as a table.

    Times are in ms, the medians of the repetitions.

    Examples
    --------
    >>> found = hide(layers=1, repeats=1)
    >>> found.gradients_equal, 0 <= found.hidden_share <= 1
    (True, True)
    """

    forward: float  #: alone
    backward: float  #: alone
    blocking: float  #: both, one after the other, each exchange waited for at once
    overlapped: float  #: both as one action
    compute: float  #: of the overlapped pair: how long the stream is busy, on the rank where it is busiest
    communication: float  #: the same of the other stream
    exposed: float  #: of this communication, what no computation hides
    gradients_equal: bool  #: are outputs and gradients of the overlapped pair bit by bit those of the blocking one?
    segments: tuple[tuple[str, str, str, float, float], ...]  #: on rank 0: (stream, name, direction, start, end)
    timelines: tuple[Timeline, Timeline]  #: of the blocking and of the overlapped pair, segment by segment
    simulated: PairTimes | None = None  #: what the simulator makes of the same costs

    @property
    def hidden_share(self) -> float:
        """The share of all communication that a computation hides."""
        return 1 - self.exposed / self.communication if self.communication else 1.0

    @property
    def over_ideal(self) -> float:
        """The overlapped pair's time / the larger of compute and communication."""
        return self.overlapped / max(self.compute, self.communication)

    @property
    def table(self) -> Table[tuple[Any, ...]]:
        """The times measured and, where costs were given, simulated."""
        rows: list[tuple[Any, ...]] = [
            ("forward, F, blocking", self.forward),
            ("backward, B, blocking", self.backward),
            ("both, blocking", self.blocking),
            ("both, overlapped: F&B", self.overlapped),
            ("exposed communication", self.exposed),
        ]
        if self.simulated is not None:
            said = self.simulated
            times = (said.forward, said.serial - said.forward, said.serial, said.overlapped, said.exposed)
            rows = [(*row, simulated) for row, simulated in zip(rows, times, strict=True)]
        columns = ("ms", "measured", "simulated")[: len(rows[0])]
        same = "equal" if self.gradients_equal else "DIFFERENT"
        note = f"hidden: {self.hidden_share:.0%} of communication; outputs and gradients of both pairs: {same}"
        return Table(rows, columns, formats=dict.fromkeys(columns[1:], ".1f"), notes=[note])


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
    """Run a forward and a backward of a stage of MoE blocks on real ranks, over all of which its experts are spread.

    Parameters
    ----------
    costs : Costs, optional
        In ms, of the whole stage. Each segment does its real work and is then held to an equal share of them, and each
        exchange to a share of forward_comm or backward_input_comm. Default: nothing is held.
    ranks, layers : int
        Over how many ranks the experts are spread, and the number of blocks in the stage.
    width, tokens : int
        Width of the residual stream, a multiple of 4, and tokens per rank.
    experts, top_k : int
        Experts in each block, and how many a token gets.
    latency_ms, bandwidth : float, optional
        Without costs: the emulated link of every exchange, in ms, and in bytes per ms.
    repeats, seed : int
        Repetitions, after one to warm up; and the seed of weights and tokens.
    progress, cancel : optional
        As in :meth:`pipelab.ranks.Ranks.run`.

    Examples
    --------
    >>> hide(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12), layers=1, repeats=1).blocking >= 48
    True
    """
    if costs is not None:
        costs.require_stages(1)
    for name, number in {"layers": layers, "tokens": tokens, "repeats": repeats}.items():
        at_least(1, number, name)
    block = {"width": width, "heads": 4, "hidden": 4 * width, "shared_hidden": width}
    block |= {"num_experts": experts, "top_k": top_k}
    link = (latency_ms / 1000, None if bandwidth is None else bandwidth * 1000)
    pool = Ranks(ranks, preload=("pipelab.moe.layer", "pipelab.overlap.interleave"))
    given = (costs, layers, tokens, block, link, repeats, seed)
    reports = pool.run(_on_this_rank, *given, timeout=300, progress=progress, cancel=cancel)
    emulated = "emulated link" if costs is not None or latency_ms or bandwidth else ""
    return _collect(reports, None if costs is None else pair_times(costs, 2 * layers), emulated)


_Report = dict[str, list[tuple[float, float, "list[SegmentSpan]"]]]


def _on_this_rank(
    ctx: RankContext,
    costs: Costs | None,
    layers: int,
    tokens: int,
    block: dict[str, int],
    link: tuple[float, float | None],
    repeats: int,
    seed: int,
) -> tuple[_Report, bool]:
    """(kind of pass -> (begin, end, segments) of each repetition; are both pairs' results equal?)"""
    import torch
    import torch.distributed as dist

    from ..overlap.expert_group import ExpertGroup
    from ..overlap.interleave import SegmentedPass, take_turns
    from ..overlap.pace import sharpen_sleep
    from ..overlap.segmented import SegmentedSequence
    from ..overlap.streams import Link, Streams
    from .layer import MoEBlock

    sharpen_sleep()
    group = ExpertGroup.of()
    stage = SegmentedSequence(*(MoEBlock(**block, seed=seed + layer, group=group) for layer in range(layers)))
    seconds = SegmentCosts.of(costs, 0, stage.exchanges).scaled(1 / 1000) if costs is not None else None
    generator = torch.Generator().manual_seed(seed * ctx.size + ctx.rank)
    first, second, gradient = torch.randn(3, 1, tokens, block["width"], generator=generator)
    report: _Report = {}
    found: dict[str, list[torch.Tensor]] = {}

    def once(kind: str) -> None:
        ctx.at(kind)
        streams = Streams(Link(*link) if any(link) else None, blocking=kind != "overlapped")
        stage.zero_grad()
        turns = []
        if kind != "forward":
            backward = SegmentedPass(stage, Streams())
            take_turns(backward.forward(first))  # which the backward needs, untimed
            backward.streams, backward.seconds = streams, seconds
            turns.append(backward.backward(gradient))
        if kind != "backward":
            turns.append(SegmentedPass(stage, streams, seconds=seconds).forward(second))
        dist.barrier()
        begin = streams.clock = time.monotonic()
        results = take_turns(*turns)
        report.setdefault(kind, []).append((begin, time.monotonic(), streams.spans))
        found[kind] = [*results, *(p.grad.clone() for p in stage.parameters() if p.grad is not None)]

    for number in range(repeats + 1):
        for kind in ("forward", "backward", "blocking", "overlapped"):
            once(kind)
        if number == 0:
            report.clear()  # it has warmed up
    return report, all(map(torch.equal, found["blocking"], found["overlapped"]))


def _collect(reports: Sequence[tuple[_Report, bool]], simulated: PairTimes | None, note: str) -> Hiding:
    source: Literal["paced", "measured"] = "measured" if simulated is None else "paced"
    took: dict[str, float] = {}
    timelines: dict[str, Timeline] = {}
    for kind in reports[0][0]:
        runs = []  # (ms, when it began, every rank's segments) of each repetition
        for run in zip(*(report[kind] for report, _ in reports), strict=True):
            begin = min(begin for begin, _, _ in run)
            runs.append((1000 * (max(end for _, end, _ in run) - begin), begin, [found for *_, found in run]))
        took[kind], zero, every = sorted(runs, key=lambda run: run[0])[(len(runs) - 1) // 2]
        placed = [
            (rank, span.stream, span.name, span.direction, 1000 * (span.start - zero), 1000 * (span.end - zero))
            for rank, found in enumerate(every)
            for span in found
        ]
        spans = [Span(rank, stream, PARTS[direction], *when) for rank, stream, _, direction, *when in placed]
        timelines[kind] = Timeline.from_spans(spans, kind, len(reports), source=source, unit="ms", note=note)
    overlapped = timelines["overlapped"]
    compute, communication = (_busiest(overlapped, stream) for stream in ("compute", "comm"))
    return Hiding(
        forward=took["forward"],
        backward=took["backward"],
        blocking=took["blocking"],
        overlapped=took["overlapped"],
        compute=compute,
        communication=communication,
        exposed=max(map(float, overlapped.exposed_communication)),
        gradients_equal=all(equal for _, equal in reports),
        segments=tuple(each[1:] for each in placed if each[0] == 0),  # of the last kind, the overlapped pair
        timelines=(timelines["blocking"], overlapped),
        simulated=simulated,
    )


def _busiest(timeline: Timeline, stream: str) -> float:
    """For how long a stream is busy on the rank on which it is busiest."""
    spans = [[s for s in timeline.spans if s.rank == rank and s.stream == stream] for rank in range(timeline.num_ranks)]
    return max(float(Intervals([s.start for s in each], [s.end for s in each]).total) for each in spans)
