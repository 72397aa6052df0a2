"""The doctor: what can this machine do, and what is to be done about what it can't?"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from ..amounts import at_least
from ..table import ShownAsTable, Table
from .pool import Ranks


@dataclass(frozen=True)
class Finding:
    """One thing looked at. `needed`: without it, experiments don't run."""

    subject: str
    fine: bool
    text: str
    remedy: str = ""
    needed: bool = False


class _Mark(str):
    """Shows itself in colour in a notebook."""

    def _repr_html_(self) -> str:
        mark, colour = ("✓", "#009E73") if self == "ok" else ("✗", "#D55E00")
        return f'<b style="color:{colour}">{mark}</b>'


class Findings(ShownAsTable, tuple[Finding, ...]):
    """All that was looked at. Prints, and shows itself in a notebook, as a table."""

    @property
    def table(self) -> Table:
        """Whether each finding is fine, what it is about, what was found, and what to do."""
        return Table(
            (_Mark("ok" if each.fine else "NO"), each.subject, "\n-> ".join(filter(None, (each.text, each.remedy))))
            for each in self
        )

    __repr__ = ShownAsTable.__str__


def examine(ranks: int = 4) -> Findings:
    """Look at this machine and start ranks on it; takes a few seconds.

    Parameters
    ----------
    ranks : int
        How many to start.

    Returns
    -------
    Findings
        Prints as a table: what is fine, what is not, and what to do about that.

    Examples
    --------
    >>> {finding.subject: finding.fine for finding in examine(2)}["ranks"]
    True
    """
    ranks = at_least(1, ranks, "ranks")
    findings = [_python(), _cores()]
    torch = _torch()
    findings.append(torch)
    if torch.fine:
        findings += [*_gpus(), _ranks(ranks)]
    findings += [
        _package("jupyterlab", "lessons"),
        _package("ipywidgets", "sliders"),
        _package("matplotlib", "pictures"),
    ]
    return Findings(findings)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if not hasattr(os, "fork"):
        remedy = "use Linux, macOS, or WSL2 on Windows; simulation and pictures work everywhere"
        return Finding("Python", False, f"{version} on {sys.platform}, which can't fork processes", remedy, needed=True)
    return Finding("Python", sys.version_info >= (3, 11), f"{version} on {sys.platform}", needed=True)


def cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cores() -> Finding:
    count = cores()
    text = f"{count}: unpaced runs on the CPU show no more speed-up than that; paced runs show a pipeline's true timing"
    return Finding("cores", True, text)


def _torch() -> Finding:
    try:
        import torch
        import torch.distributed as dist
    except ImportError as error:
        return Finding("torch", False, f"can't be imported: {error}", "pip install torch", needed=True)
    if not dist.is_available():
        remedy = "install a build of torch with torch.distributed (the usual packages have it)"
        return Finding("torch", False, f"{torch.__version__} has no torch.distributed", remedy, needed=True)
    return Finding("torch", True, torch.__version__, needed=True)


def _gpus() -> list[Finding]:
    import torch
    import torch.distributed as dist

    # Counted through the driver, so that CUDA isn't initialised here.
    count = torch.cuda.device_count()
    if not count:
        built = "" if torch.version.cuda else " (this build of torch has no CUDA)"
        return [Finding("GPUs", True, f"none{built}: ranks run on the CPU and talk over gloo")]
    names = ", ".join(sorted({torch.cuda.get_device_name(i) for i in range(count)}))
    text = f"{count} ({names}): up to {count} ranks run there and talk over NCCL; more ranks run on the CPU over gloo"
    nccl = dist.is_nccl_available()
    remedy = "" if nccl else "install a build of torch with NCCL; until then pass device='cpu'"
    return [Finding("GPUs", True, text), Finding("NCCL", nccl, "available" if nccl else "missing", remedy)]


def _ranks(count: int) -> Finding:
    try:
        times = []
        for _ in range(2):
            begin = time.monotonic()
            with Ranks(count) as ranks:
                backends = ranks.run(_hello, timeout=60)
            times.append(time.monotonic() - begin)
    except Exception as error:
        text = f"{count} ranks don't start: {type(error).__name__}: {error}"
        remedy = "check that processes may be started and that loopback (127.0.0.1) is open, then run this again"
        return Finding("ranks", False, text, remedy, needed=True)
    return Finding(
        "ranks", True, f"{count} start in {times[0]:.1f} s, again in {times[1]:.2f} s ({backends[0]})", needed=True
    )


def _hello(ctx: object) -> str:
    import torch
    import torch.distributed as dist

    total = torch.ones(1, device=ctx.device)  # type: ignore[attr-defined]
    dist.all_reduce(total)
    return f"{ctx.backend} on {ctx.device.type}"  # type: ignore[attr-defined]


def _package(name: str, purpose: str) -> Finding:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", f"pip install {name} (for the {purpose})")
