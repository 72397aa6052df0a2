"""Number check: is a number, predicted or worked out, the right one?"""

from __future__ import annotations

import math
from typing import Any

from .feedback import Feedback


def check_number(answer: Any, expected: float, *, why: str, hint: str = "", tolerance: float = 0.01) -> Feedback:
    """Compare a student's number with the right one.

    Parameters
    ----------
    answer : number, or ... or None
        The student's; dots and None mean that there is none yet.
    expected : float
        The right one.
    why : str
        How the right number comes about. Shown only once the answer is right.
    hint : str
        Shown as long as the answer is wrong.
    tolerance : float
        Relative to the right number; absolute where that is 0.

    Returns
    -------
    Feedback
        It says whether a wrong number is too small or too large.

    Examples
    --------
    >>> check_number(0.7, 0.75, why="three of four ranks wait", hint="how many of the four ranks work?")
    ✗ 0.7 is too small
      - how many of the four ranks work?
    """
    if answer is None or answer is ...:
        advice = "put a number in the place of the dots; a wrong one teaches more than none"
        return Feedback(False, "No answer yet", (advice,), answered=False)
    try:
        value = float(answer)
    except OverflowError:  # a whole number beyond floats
        value = math.inf if answer > 0 else -math.inf
    except Exception:  # a word, a list, a tensor: each raises its own
        return Feedback(False, f"{answer!r} is not a number", (hint,) if hint else ())
    if math.isclose(value, expected, rel_tol=tolerance, abs_tol=tolerance if expected == 0 else 0):
        return Feedback(True, f"{value:g} is right", (why,))
    direction = "too large" if value > expected else "too small"
    title = "NaN is no answer" if math.isnan(value) else f"{value:g} is {direction}"
    return Feedback(False, title, (hint,) if hint else ())
