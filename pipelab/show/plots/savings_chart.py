"""What schedules save against the first one, and by what, as bars."""

from __future__ import annotations

from ...study import Estimates
from ..backends.picture import Picture, legend_below
from ..palette import LABEL

_ROW = 0.34  # inches
_PARTS = (
    ("step", "the step itself", "#8CC4EC", ""),
    ("saved_by_hiding", "saved by hiding", "#4FAE8A", "///"),
    ("saved_by_bubble", "saved by a smaller bubble", "#F3BE55", ""),
)


def plot_savings(estimates: Estimates, *, width: float = 8.0) -> Picture:
    """Draw each schedule's step, and beside it what it saves against the first one, in seconds.

    Parameters
    ----------
    estimates : Estimates
        What `pipelab.estimate_step` returns.
    width : float
        In inches.

    Examples
    --------
    >>> from pipelab import estimate_step
    >>> plot_savings(estimate_step(8, 20, schedules=["1f1b", "dualpipe"])).png()[1:4]
    b'PNG'
    """
    picture, names = Picture(width, [_ROW * len(estimates)]), [row.name for row in estimates]
    (axes,) = picture.panels
    longest, ends = max(row.step + max(0.0, row.saved) for row in estimates), [0.0] * len(names)
    for attribute, meaning, colour, hatch in _PARTS:
        sizes = [max(0.0, getattr(row, attribute)) for row in estimates]
        axes.barh(names, sizes, left=ends, height=0.8, color=colour, hatch=hatch, edgecolor="w", label=meaning)
        clear = {"facecolor": colour, "edgecolor": "none", "pad": 2}  # of hatches
        for place, (size, end) in enumerate(zip(sizes, ends, strict=True)):
            if size > 0.04 * longest:
                text = axes.text(end + size / 2, place, f"{size:.2f}", color=LABEL, fontsize=8, bbox=clear)
                text.set(ha="center", va="center")
        ends = [end + size for end, size in zip(ends, sizes, strict=True)]
    axes.set_ylim(len(names) - 0.5, -0.5)
    picture.finish("s per step")
    legend_below(axes)
    return picture
