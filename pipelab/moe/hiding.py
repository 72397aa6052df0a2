"""Hiding: one forward and one backward of a stage with experts, whose all-to-alls are hidden, or not.

The pair is run in an order of your choice, `pipelab.ir.SegmentOrder`, and in exactly that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..amounts import at_least
from ..ir import Action, SegmentOrder
from ..ir.pair_program import pair_program
from ..ir.segments import ACTION_KINDS, LAST
from ..ranks.pool import Ranks
from ..simulator import Costs
from ..simulator.pair_timing import Order, PairTimes, SegmentCosts, pair_times
from ..table import ShownAsTable, Table
from ..timeline import COMM, COMPUTE, Intervals, Span, Timeline

if TYPE_CHECKING:
    import threading

    from ..overlap.streams import SegmentSpan
    from ..ranks.progress import Progress
    from ..ranks.worker import RankContext

#: The action that a segment belongs to, by its direction. A backward has parts for the input and for the weights.
PARTS = {direction: Action(kind, 0, int(direction == "F")) for direction, kind in ACTION_KINDS.items()}


@dataclass(frozen=True)
class Hiding(ShownAsTable):
    """What a forward and a backward of one stage took on all ranks of an expert group. It shows itself as a table.

    Times are in ms, the medians of the repetitions.

    Examples
    --------
    >>> found = hide(layers=1, repeats=1)
    >>> found.gradients_equal, found.in_order, 0 <= found.hidden_share <= 1
    (True, True, True)
    """

    order: SegmentOrder  #: of the overlapped pair
    forward: float  #: alone
    backward: float  #: alone
    blocking: float  #: both, one after the other, each exchange waited for at once
    overlapped: float  #: both as one action
    compute: float  #: of the overlapped pair: how long the stream is busy, on the rank where it is busiest
    communication: float  #: the same of the other stream
    exposed: float  #: of this communication, what no computation hides
    gradients_equal: bool  #: are outputs and gradients of the overlapped pair bit by bit those of the blocking one?
    in_order: bool  #: did each stream of every rank do its segments in exactly this order?
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
    def panels(self) -> dict[str, tuple[tuple[str, str, str, Any, Any], ...]]:
        """The overlapped pair as `plot_segments` takes it: the prediction, and below it the measurement."""
        name, measured = self.order.name, self.timelines[1]
        how = f"{measured.source}, {measured.note}" if measured.note else measured.source
        predicted = {} if self.simulated is None else {f"{name} · simulated": self.simulated.segments}
        return {**predicted, f"{name} · rank 0 · {how}": self.segments}

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
        hidden = f"hidden: {self.hidden_share:.0%} of communication; outputs and gradients of both pairs: {same}"
        notes = [hidden] if self.in_order else [hidden, f"NOT RUN in the order {self.order.name}: {self.order}"]
        return Table(rows, columns, formats=dict.fromkeys(columns[1:], ".1f"), notes=notes)


def hide(
    order: Order = "deepseek",
    *,
    pace: Costs | None = None,
    ranks: int = 2,
    layers: int = 4,
    width: int = 16,
    tokens: int = 32,
    experts: int = 4,
    top_k: int = 2,
    repeats: int = 5,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    cancel: threading.Event | None = None,
) -> Hiding:
    """Run a forward and a backward of a stage of MoE blocks on real ranks, over all of which its experts are spread.

    Parameters
    ----------
    order : SegmentOrder, str, or sequence of str
        Of the pair's segments: "deepseek", "megatron", or a list such as ``["combine(B)", "attention(F)", …]``.
    pace : Costs, optional
        Of the whole stage, in ms unless they have another unit. Each segment does its real work and is then held to an
        equal share of them, and each exchange to a share of forward_comm or backward_input_comm; where that is 0, an
        exchange takes latency + bytes / bandwidth. Where no computation has a cost, none is held. Default: nothing is
        held.
    ranks, layers : int
        Over how many ranks the experts are spread, and the number of blocks in the stage.
    width, tokens : int
        Width of the residual stream, a multiple of 4, and tokens per rank.
    experts, top_k : int
        Experts in each block, and how many a token gets.
    repeats, seed : int
        Repetitions, after one to warm up; and the seed of weights and tokens.
    progress, cancel : optional
        As in :meth:`pipelab.ranks.Ranks.run`.

    Raises
    ------
    ValueError
        For an order that can't be done, with every reason.

    Examples
    --------
    >>> costs = Costs(8, 8, 8, forward_comm=12, backward_input_comm=12, unit="ms")
    >>> hide("megatron", pace=costs, layers=1, repeats=1).blocking >= 48
    True
    """
    if isinstance(order, Costs):
        raise ValueError("what comes first is the order of segments; costs are the pace: hide(pace=Costs(…))")
    order = SegmentOrder.of(order)
    given = {"ranks": ranks, "layers": layers, "width": width, "tokens": tokens, "repeats": repeats}
    ranks, layers, width, tokens, repeats = (at_least(1, number, name) for name, number in given.items())
    seed, exchanges = at_least(0, seed, "seed"), 2 * layers
    pair_program(order, exchanges, exchanges)  # which says why not
    link, held = (0.0, None), None
    if pace is not None:
        pace = pace.in_unit("ms")
        pace.require_stages(1)
        link = pace.latency / 1000, None if pace.bandwidth is None else 1000 * pace.bandwidth
        held = pace if pace.communicates or any(pace.duration(kind, 0) for kind in "FIW") else None
    block = {"width": width, "heads": 4, "hidden": 4 * width, "shared_hidden": width}
    block |= {"num_experts": experts, "top_k": top_k}
    pool = Ranks(ranks, preload=("pipelab.moe.layer", "pipelab.overlap.interleave"))
    job = (order, held, layers, tokens, block, link, repeats, seed)
    reports = pool.run(_on_this_rank, *job, timeout=300, progress=progress, cancel=cancel)
    simulated = None if held is None else pair_times(held, exchanges, order=order)
    segments = None if held is None else SegmentCosts.of(held, 0, exchanges)
    return _collect(order, layers, reports, segments, simulated, "emulated link" if held or any(link) else "")


_Report = dict[str, list[tuple[float, float, "list[SegmentSpan]"]]]


def _on_this_rank(
    ctx: RankContext,
    order: SegmentOrder,
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
    from ..overlap.interleave import SegmentedPass, run_segments
    from ..overlap.pace import sharpen_sleep
    from ..overlap.segmented import SegmentedSequence
    from ..overlap.streams import Link, Streams
    from .layer import MoEBlock

    sharpen_sleep()
    group = ExpertGroup.of()
    stage = SegmentedSequence(*(MoEBlock(**block, seed=seed + layer, group=group) for layer in range(layers)))
    seconds = SegmentCosts.of(costs, 0, stage.exchanges).scaled(1 / 1000) if costs is not None else None
    generator = torch.Generator().manual_seed((seed * ctx.size + ctx.rank) % 2**63)
    first, second, gradient = torch.randn(3, 1, tokens, block["width"], generator=generator)
    report: _Report = {}
    found: dict[str, list[torch.Tensor]] = {}

    def once(kind: str) -> None:
        streams = Streams(Link(*link) if any(link) else None, blocking=kind != "overlapped")
        stage.zero_grad()
        forward = backward = None
        if kind != "forward":
            backward = SegmentedPass(stage, Streams())
            backward.forward(first)  # which the backward needs, untimed
            backward.streams, backward.seconds = streams, seconds
            backward.begin_backward(gradient)
        if kind != "backward":
            forward = SegmentedPass(stage, streams, seconds=seconds)
            forward.begin(second)
        dist.barrier()
        begin = streams.clock = time.monotonic()
        run_segments(order, forward=forward, backward=backward)
        report.setdefault(kind, []).append((begin, time.monotonic(), streams.spans))
        results = [forward.output if forward else None, backward.gradient if backward else None]
        results += [p.grad.clone() for p in stage.parameters() if p.grad is not None]
        found[kind] = [each for each in results if each is not None]

    kinds = ("forward", "backward", "blocking", "overlapped")
    for done in range(total := len(kinds) * (repeats + 1)):
        kind = kinds[done % len(kinds)]
        ctx.at(kind, done=done, total=total)
        once(kind)
        if done + 1 == len(kinds):
            report.clear()  # it has warmed up
    return report, all(map(torch.equal, found["blocking"], found["overlapped"]))


def _collect(
    order: SegmentOrder,
    layers: int,
    reports: Sequence[tuple[_Report, bool]],
    held: SegmentCosts | None,
    simulated: PairTimes | None,
    note: str,
) -> Hiding:
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
    pairs = (spans for report, _ in reports for _, _, spans in report["overlapped"])
    return Hiding(
        order=order,
        forward=took["forward"],
        backward=took["backward"],
        blocking=took["blocking"],
        overlapped=took["overlapped"],
        compute=compute,
        communication=communication,
        exposed=max(map(float, overlapped.exposed_communication)),
        gradients_equal=all(equal for _, equal in reports),
        in_order=all(_in_order(spans, order, layers, held) for spans in pairs),
        segments=tuple(each[1:] for each in placed if each[0] == 0),  # of the last kind, the overlapped pair
        timelines=(timelines["blocking"], overlapped),
        simulated=simulated,
    )


def _in_order(spans: Sequence[SegmentSpan], order: SegmentOrder, layers: int, held: SegmentCosts | None = None) -> bool:
    """Did the two streams do what the order says? Spans come as each stream has done them.

    held: what segments are held to. Computations that are given no time leave no span.
    """
    program = pair_program(order, 2 * layers, 2 * layers)
    for stream, said in ((COMPUTE, program.computations), (COMM, program.exchanges)):
        told = (each for each in said if each.name != LAST and (each.communicates or not held or held.cost(each)))
        asked = [(each.name, each.direction) for each in told]
        if asked != [(span.name, span.direction) for span in spans if span.stream == stream and span.name != LAST]:
            return False
    return True


def _busiest(timeline: Timeline, stream: str) -> float:
    """For how long a stream is busy on the rank on which it is busiest."""
    spans = [[s for s in timeline.spans if s.rank == rank and s.stream == stream] for rank in range(timeline.num_ranks)]
    return max(float(Intervals([s.start for s in each], [s.end for s in each]).total) for each in spans)
