"""Skew: how uneven loads are, and which experts get next to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..sizes import as_array


def skew(load: Any) -> np.ndarray:
    """The busiest expert's load / the mean: 1 if loads are even, the number of experts if one gets everything.

    Parameters
    ----------
    load : array [..., experts]
        The result is an array [...].

    Examples
    --------
    >>> skew([[2, 2, 2, 2], [5, 1, 1, 1], [0, 0, 0, 0]]).tolist()
    [1.0, 2.5, 1.0]
    """
    load = as_array(load)
    mean = load.mean(axis=-1)
    return np.divide(load.max(axis=-1), mean, out=np.ones(mean.shape), where=mean > 0)


def dead(load: Any, *, below: float = 0.05) -> np.ndarray:
    """Which experts get next to nothing: a bool for each.

    Parameters
    ----------
    load : array [..., experts]
        The result has the same shape.
    below : float
        An expert is dead if its load is less than this share of the mean.

    Examples
    --------
    >>> dead([[100, 60, 39, 1]]).tolist()
    [[False, False, False, True]]
    """
    load = as_array(load)
    return load < below * load.mean(axis=-1, keepdims=True)
