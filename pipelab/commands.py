"""Commands: what the command line does once its arguments are read. Each returns the exit status."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shutil
import sys
from typing import Any

from .eplb import Plan, read_load, rebalance
from .ir import Schedule, to_csv
from .profiler import load_profile
from .schedules import build
from .simulator import Costs, simulate
from .timeline import Timeline, to_chrome_trace

OK, FAILED, BAD_ARGUMENTS = range(3)  # exit statuses


def _schedule(options: argparse.Namespace) -> Schedule:
    return build(options.schedule, options.ranks, options.microbatches, chunks=options.chunks)


def do_table(options: argparse.Namespace) -> int:
    print(to_csv(_schedule(options)), end="")
    return OK


def do_simulate(options: argparse.Namespace) -> int:
    one_by_one = options.forward, options.backward_input, options.backward_weight
    timeline = simulate(_schedule(options), Costs(*one_by_one, overlapped=options.overlapped, latency=options.latency))
    names = ("makespan", "bubble_fraction", "bubble_over_ideal", "peak_activations")
    figures = {name: getattr(timeline, name) for name in names}
    _write(options, timeline, timeline)
    _print(options, timeline, figures, [])
    return OK


def do_run(options: argparse.Namespace) -> int:
    from .ranks import under_torchrun
    from .runtime import run

    first = int(os.environ.get("RANK", 0)) == 0 if under_torchrun() else True
    pace = None if options.pace_ms is None else Costs(options.pace_ms, options.pace_ms, options.pace_ms, unit="ms")
    schedule = _schedule(options)
    show = _Progress() if first and not options.json and sys.stderr.isatty() else None
    try:
        # What ranks print is not what this command prints: --json promises one object on stdout.
        with contextlib.redirect_stdout(sys.stderr):
            chosen = {name: getattr(options, name) for name in ("steps", "device", "seed", "timeout")}
            result = run(schedule, pace=pace, progress=show, **chosen)
    except KeyboardInterrupt:
        print("pipelab: interrupted; all ranks are stopped", file=sys.stderr)
        return FAILED
    except Exception as error:
        notes = getattr(error, "__notes__", [])
        if isinstance(error, ValueError) and not notes:  # refused before anything ran
            raise
        print(f"pipelab: the run failed: {type(error).__name__}: {error}", *notes, sep="\n", file=sys.stderr)
        return FAILED
    finally:
        if show:
            show.clear()
    if first:
        _write(options, result.timeline, result)
        _print(options, result.timeline, result.summary(), _account(result))
    return OK if result.gradients_equal is not False else FAILED


def _account(result: Any) -> list[str]:
    """What a run says beyond its timeline."""
    lines = [
        f"loss {result.losses[0]:.4f} -> {result.losses[-1]:.4f}, steps: {len(result.losses)}",
        f"gradients {'equal' if result.gradients_equal else 'DIFFER FROM'} a single process's: "
        f"largest relative difference {result.max_gradient_error:.1e}",
        f"simulated {result.simulated_makespan_ms:.1f} ms, {result.timeline.source} {result.makespan_ms:.1f} ms, "
        f"on {result.device} over {result.backend}",
    ]
    if diverged := [(step, loss) for step, loss in enumerate(result.losses) if not math.isfinite(loss)]:
        step, loss = diverged[0]
        lines.append(f"THE LOSS of step {step} is {loss}: training diverged, and there is nothing to compare")
    if result.paced:
        lines.append(f"paced; work was late by at most {result.lateness_ms:.1f} ms")
        if not result.valid:
            advice = "Use a larger --pace-ms or fewer ranks."
            lines.append(f"NOT VALID as a timing: the cores could not keep the pace. {advice}")
    return lines


def do_profile(options: argparse.Namespace) -> int:
    profile = load_profile(options.file)
    if options.plot:
        from .show import plot_profile

        plot_profile(profile).savefig(options.plot, dpi=170)
    print(json.dumps(profile.summary()) if options.json else profile)
    return OK


def do_eplb(options: argparse.Namespace) -> int:
    load = read_load(options.loads)
    previous = None if options.previous is None else Plan.from_json(options.previous.read_text())
    policy = options.policy or ("incremental" if previous else "greedy")
    sizes = options.replicas, options.gpus, options.nodes, options.groups
    start = previous if policy == "incremental" else None
    plan = rebalance(load, *sizes, policy=policy, previous=start, max_moved=options.max_moved)
    figures = {name: getattr(plan, name).tolist() for name in ("balancedness", "attainable", "gpu_load")}
    if previous:
        figures["moves"] = plan.moves(previous).tolist()
    if options.plot:
        from .show import plot_plan

        plot_plan(plan, before=previous).savefig(options.plot, dpi=170)
    if options.json:
        print(json.dumps({**plan.as_dict(), **figures}, allow_nan=False))
        return OK
    print(plan)
    if previous:
        before = previous.under(load).balancedness.mean()
        print(f"{plan.moved(previous):.1%} of the slots change; balancedness before {before:.4f}")
    return OK


def do_doctor(options: argparse.Namespace) -> int:
    from .ranks.doctor import examine

    findings = examine()
    print(findings)
    return OK if all(finding.fine for finding in findings if finding.needed) else FAILED


def _write(options: argparse.Namespace, timeline: Timeline, drawn: Any) -> None:
    """The files that were asked for. drawn: the timeline, or a run, which is drawn below its prediction."""
    if options.trace:
        options.trace.write_text(to_chrome_trace(timeline))
    if options.plot:
        from .show import compare, plot

        (plot if drawn is timeline else compare)(drawn).savefig(options.plot, dpi=170)


def _print(options: argparse.Namespace, timeline: Timeline, figures: dict[str, Any], account: list[str]) -> None:
    if options.json:
        chosen = {"schedule": options.schedule, "ranks": options.ranks, "microbatches": options.microbatches}
        print(json.dumps(_finite({**chosen, **figures}), allow_nan=False))
        return
    from .show.backends.terminal import text_timeline
    from .show.figures import figures_table

    print(text_timeline(timeline, width=_width(), colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    print()
    print(figures_table(timeline), *account, sep="\n")


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _width() -> int:
    return max(40, shutil.get_terminal_size((100, 24)).columns)


class _Progress:
    """One line on the terminal that says how far a run is."""

    def __init__(self) -> None:
        print("starting ranks, some seconds the first time …", end="", file=sys.stderr, flush=True)

    def __call__(self, progress: Any) -> None:
        places = "  ".join(f"{rank}: {where}" for rank, where in enumerate(progress.where))
        self.clear(f"{progress.fraction:4.0%}  {places}"[: _width() - 1])

    def clear(self, line: str = "") -> None:
        print("\r\x1b[K" + line, end="", file=sys.stderr, flush=True)
