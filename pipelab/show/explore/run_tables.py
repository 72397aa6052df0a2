"""Tables: a timeline's figures and a run's account, as HTML beside a picture."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING

from ...timeline import Timeline
from ..figures import MEANING, figures_table, has_short_stages, kilobytes

if TYPE_CHECKING:
    from ...runtime import Run


def account_html(run: Run) -> str:
    """What a run says besides its timeline: does it compute what one process does, and is its timing to be trusted?"""
    said = [f"{len(run.losses)} training steps on {run.device} over {run.backend}"]
    said.append(f"loss {run.losses[0]:.3f} → {run.losses[-1]:.3f}")
    if run.gradients_equal is not None:
        same = "equal" if run.gradients_equal else "<b>differ from</b>"
        said.append(f"gradients {same} a single process's (largest relative difference {run.max_gradient_error:.1g})")
    said.append(f"most kept by autograd on a rank: {kilobytes(max(run.peak_activation_bytes))}")
    said.append(f"first action {run.start_seconds:.2f} s after the start")
    if not run.valid:
        said.append(
            "<b>not valid as a timing: the cores could not keep the pace; take more ms per unit, or fewer ranks</b>"
        )
    return f'<div style="font-size:12px;line-height:1.5">{" · ".join(said)}</div>'


def figures_html(columns: Mapping[str, Timeline], run: Run | None) -> str:
    """The figures of one or two timelines, side by side."""
    if not columns:
        return ""
    rows: dict[str, list[str]] = {}
    in_shares = any(map(has_short_stages, columns.values()))
    for timeline in columns.values():
        for name, value in figures_table(timeline, in_shares):
            rows.setdefault(name, []).append(value)
    head = "".join(f'<th style="text-align:left;padding:0 24px 0 0">{name}</th>' for name in ("", *columns))
    cells = '<td style="padding:0 24px 0 0;font-variant-numeric:tabular-nums">'
    body = "".join(
        f'<tr title="{escape(MEANING[name])}"><td style="padding:0 24px 0 0;cursor:help">{name}</td>'
        + "".join(f"{cells}{escape(value)}</td>" for value in values)
        + "</tr>"
        for name, values in rows.items()
    )
    if run is not None:
        kept = " · ".join(kilobytes(each) for each in run.peak_activation_bytes)
        body += (
            '<tr title="measured: what autograd saved for the backward, besides parameters and batch">'
            f'<td style="padding:0 24px 0 0;cursor:help">peak bytes kept</td><td></td>{cells}{kept}</td></tr>'
        )
    return f'<table style="font-size:13px;line-height:1.6;border-spacing:0">{"<tr>" + head + "</tr>"}{body}</table>'
