"""Feedback: what a check says of an answer."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

_COLOURS = {"✓": "#009E73", "✗": "#D55E00", "…": "#787878"}


def shortened(reasons: Sequence[str], most: int) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(reasons) - most
    return [*reasons[:most], *([f"… and {more} more"] if more > 0 else [])]


def panel(sign: str, title: str, below: str) -> str:
    """HTML: a title with something below it, beside a bar in the colour of the sign."""
    style = f"border-left: 4px solid {_COLOURS[sign]}; padding: 4px 12px"
    return f'<div style="{style}"><b>{html.escape(title)}</b>{below}</div>'


@dataclass(frozen=True)
class Feedback:
    """What a check says. It is true if the answer is right, and shows itself in a notebook.

    Parameters
    ----------
    passed : bool
        Whether the answer is right.
    title : str
        The verdict in a few words.
    reasons : tuple of str
        Why it is wrong; or what is worth knowing about a right answer.
    answered : bool
        False as long as nothing has been answered.

    Examples
    --------
    >>> Feedback(False, "Not yet", ("rank 0 waits",))
    ✗ Not yet
      - rank 0 waits
    """

    passed: bool
    title: str
    reasons: tuple[str, ...] = ()
    answered: bool = True

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return "\n".join([f"{self._sign} {self.title}", *(f"  - {reason}" for reason in self.reasons)])

    @property
    def _sign(self) -> str:
        return "✓" if self.passed else "✗" if self.answered else "…"

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(reason)}</li>" for reason in self.reasons)
        return panel(self._sign, f"{self._sign} {self.title}", f"<ul>{items}</ul>" if items else "")
