"""What a real run showed, put together from what all ranks report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING, Any

from ..amounts import counted
from ..ir import Action, Schedule
from ..simulator import Costs, simulate
from ..simulator.pair_timing import with_segments
from ..timeline import COMPUTE, Span, Timeline
from .job import Job, ReferenceCheck, Report

if TYPE_CHECKING:
    import torch


#: What `Run.summary` tells.
_FIGURES = """
    makespan_ms simulated_makespan_ms peak_activations peak_activation_bytes bytes_sent losses max_gradient_error
    max_loss_error gradients_equal max_output_error outputs_equal copies_equal paced lateness_ms valid device backend
    start_seconds
""".split()  # noqa: SIM905


@dataclass(frozen=True, repr=False)
class Run:
    """What a real run showed.

    Attributes
    ----------
    timeline : Timeline
        Measured (or paced), in ms, of the step of median length; `timelines` has every step.
    simulated : Timeline
        The prediction for it, in ms: at the paced costs, or at costs calibrated from this very run. Pairs of segmented
        stages take what their segments take in the order that was run, or one by one if not overlapped.
    losses : tuple of float
        Of each step; empty for inference without targets.
    outputs : tuple of Tensor
        Of a forward-only schedule, one per step: the last stage's output for the whole batch, its micro-batches in
        order. Else empty.
    max_gradient_error : float or None
        Largest relative difference, over all parameters, of the first step's gradients to those of the same model in
        one process; None if not checked. `worst` names the parameter.
    max_loss_error : float or None
        The same for the losses of all steps.
    max_output_error : float or None
        The same for the outputs of all steps, relative to the step's largest.
    tolerance : float
        What counts as equal: 1e-10 where all parameters are float64, else 1e-5.
    early_gradients : dict of str to str
        Parameter -> why a split backward computed its gradient at I already; see
        :mod:`pipelab.autograd.split_backward`.
    copies_equal : bool or None
        Were all copies of every stage bit by bit equal at the end? None where no stage has two.
    peak_activation_bytes : tuple of int
        Per rank: the most that was kept for backwards at once in the first step, besides parameters and batch: what
        autograd saved, and between I and W what W needs.
    activation_bytes : tuple
        Per rank: (ms, bytes kept) after each action of the first step.
    freed_bytes : tuple
        Per rank: (ms, action, bytes) for each action of the first step that freed any.
    bytes_sent : tuple of int
        Per rank, in all steps, without headers.
    paced, lateness_ms : bool, float
        Was every action held to a prescribed duration, and by how much did work exceed it at most?
    valid : bool
        False for a paced run whose lateness grew: the cores could not keep the pace.
    start_seconds : float
        From the call of `run` to the first action.

    Examples
    --------
    >>> from pipelab import Costs, run
    >>> from pipelab.schedules import one_f_one_b
    >>> result = run(one_f_one_b(2, 2), pace=Costs(10, 5, 5))
    >>> result.gradients_equal, result.simulated_makespan_ms, result.makespan_ms > 59
    (True, 60.0, True)
    """

    schedule: Schedule
    timelines: tuple[Timeline, ...]
    timeline: Timeline
    simulated: Timeline
    losses: tuple[float, ...]
    outputs: tuple[torch.Tensor, ...]
    max_gradient_error: float | None
    max_loss_error: float | None
    max_output_error: float | None
    worst: str
    tolerance: float
    early_gradients: dict[str, str]
    copies_equal: bool | None
    peak_activation_bytes: tuple[int, ...]
    activation_bytes: tuple[tuple[tuple[float, int], ...], ...]
    freed_bytes: tuple[tuple[tuple[float, Action, int], ...], ...]
    bytes_sent: tuple[int, ...]
    paced: bool
    lateness_ms: float
    valid: bool
    device: str
    backend: str
    start_seconds: float

    def __repr__(self) -> str:
        """The main figures: all of it would fill pages of a notebook. `summary` has more of them."""
        facts = [f"makespan {self.makespan_ms:g} ms, simulated {self.simulated_makespan_ms:g} ms"]
        if self.losses:
            facts.append(f"loss {self.losses[0]:.4f} -> {self.losses[-1]:.4f}, steps: {len(self.losses)}")
        for what, equal in (("gradients", self.gradients_equal), ("outputs", self.outputs_equal)):
            if equal is not None:
                facts.append(f"{what} {'equal' if equal else 'DIFFER FROM'} one process's")
        how = f"{counted(self.schedule.num_ranks, 'rank')}, {self.device} over {self.backend}"
        return f"<Run {self.schedule.name}, {self.timeline.source}: {how}; {'; '.join(facts)}>"

    @property
    def gradients_equal(self) -> bool | None:
        """Are gradients and losses those of a single process? None if not checked."""
        if self.max_gradient_error is None or self.max_loss_error is None:
            return None
        return self.max_gradient_error <= self.tolerance and self.max_loss_error <= self.tolerance

    @property
    def outputs_equal(self) -> bool | None:
        """Are a forward-only schedule's outputs those of a single process? None if not checked."""
        return None if self.max_output_error is None else self.max_output_error <= self.tolerance

    @property
    def makespan_ms(self) -> float:
        return float(self.timeline.makespan)

    @property
    def simulated_makespan_ms(self) -> float:
        return float(self.simulated.makespan)

    @property
    def peak_activations(self) -> tuple[int, ...]:
        return self.timeline.peak_activations

    def summary(self) -> dict[str, Any]:
        """The figures, ready for JSON."""
        timeline = self.timeline
        bubble = {name: float(getattr(timeline, name)) for name in ("bubble_fraction", "bubble_over_ideal")}
        figures = {name: getattr(self, name) for name in _FIGURES}
        lists = {name: list(figure) for name, figure in figures.items() if isinstance(figure, tuple)}
        return {"makespan": self.makespan_ms, **figures, **lists, **bubble}


def collect(schedule: Schedule, job: Job, reports: Sequence[Report], pressed: float) -> Run:
    """One Run from what all ranks report. pressed: when `run` was called, in seconds of time.monotonic."""
    everyone, reports = reports, reports[:: job.expert_ranks]  # of the first column, where there are several
    timelines = tuple(_timeline(schedule, job, reports, step) for step in range(job.steps))
    makespans = [timeline.makespan for timeline in timelines]
    timeline = timelines[makespans.index(median_low(makespans))]
    firsts = [report.steps[0] for report in reports]
    first = min(start for step in firsts for _, start, _ in step.spans)
    exchanges = {stage: count for report in reports for stage, count in report.exchanges.items()}
    paced = job.pace and with_segments(job.pace, schedule, exchanges, order=job.order, overlap=job.overlap)
    simulated = simulate(schedule, paced or Costs.from_timeline(timeline, schedule))
    check = next((report.check for report in everyone if report.check), ReferenceCheck())
    inputs_only = isinstance(job.batches, Sequence) and job.batches[0][1] is None
    losses = () if inputs_only else tuple(sum(r.steps[step].loss for r in everyone) for step in range(job.steps))
    every = [step for report in everyone for step in report.steps]
    return Run(
        schedule=schedule,
        timelines=timelines,
        timeline=timeline,
        simulated=simulated,
        losses=losses,
        outputs=() if schedule.training else tuple(_output(reports, step) for step in range(job.steps)),
        max_gradient_error=check.gradient,
        max_loss_error=check.loss,
        max_output_error=check.output,
        worst=check.worst,
        tolerance=1e-10 if set().union(*(report.dtypes for report in everyone)) == {"float64"} else 1e-5,
        early_gradients={name: why for report in everyone for name, why in report.early.items()},
        copies_equal=_copies_equal(everyone, job.expert_ranks),
        peak_activation_bytes=tuple(step.peak_bytes for step in firsts),
        activation_bytes=tuple(
            tuple(((when - first) / 1e6, kept) for when, kept in step.activation_bytes) for step in firsts
        ),
        freed_bytes=tuple(
            tuple(((when - first) / 1e6, action, freed) for when, action, freed in step.freed_bytes if freed)
            for step in firsts
        ),
        bytes_sent=tuple(report.bytes_sent for report in reports),
        paced=job.pace is not None,
        lateness_ms=1000 * max(step.lateness for step in every),
        valid=all(step.kept_pace for step in every),
        device=reports[0].device,
        backend=reports[0].backend,
        start_seconds=max(0.0, first / 1e9 - pressed),
    )


def _output(reports: Sequence[Report], step: int) -> torch.Tensor:
    """The last stage's outputs, from all ranks that hold it, in the order of the micro-batches."""
    import torch

    by_microbatch = {m: output for report in reports for m, output in report.steps[step].outputs.items()}
    in_order = [by_microbatch[m] for m in sorted(by_microbatch)]
    return torch.cat(in_order) if in_order[0].dim() else torch.stack(in_order)


def _copies_equal(reports: Sequence[Report], columns: int) -> bool | None:
    """Are the copies of each stage equal, in each column? Other columns have other experts."""
    found: dict[tuple[int, int], set[str]] = {}
    for rank, report in enumerate(reports):
        for stage, fingerprint in report.fingerprints.items():
            found.setdefault((rank % columns, stage), set()).add(fingerprint)
    return all(len(each) == 1 for each in found.values()) if found else None


def _timeline(schedule: Schedule, job: Job, reports: Sequence[Report], step: int) -> Timeline:
    """One step of all ranks, in ms from its first action."""
    steps = [report.steps[step] for report in reports]
    zero = min(start for each in steps for _, start, _ in each.spans)
    spans = []
    for rank, each in enumerate(steps):
        in_segments = {action for action, _ in each.segments}
        spans += [
            Span(rank, COMPUTE, action, (start - zero) / 1e6, (end - zero) / 1e6)
            for action, start, end in each.spans
            if action not in in_segments
        ]
        spans += [
            Span(rank, segment.stream, action, segment.start * 1e3 - zero / 1e6, segment.end * 1e3 - zero / 1e6)
            for action, segment in each.segments
        ]
    link = job.pace is not None and (
        job.pace.latency or job.pace.bandwidth or any(each.segments for each in steps) and job.pace.communicates
    )
    return Timeline.from_spans(
        spans,
        schedule.name,
        schedule.num_ranks,
        source="paced" if job.pace else "measured",
        unit="ms",
        note="emulated link" if link else "",
    )
