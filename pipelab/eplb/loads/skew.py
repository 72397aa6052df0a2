"""Skew: how uneven loads are, and which experts get next to nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..sizes import as_array


def skew(load: Any) -> np.ndarray:
    """The busiest expert's load / the mean: [..., experts] -> [...]. 1 is even; the number of experts is all on one.

    Examples
    --------
    >>> skew([[2, 2, 2, 2], [5, 1, 1, 1], [0, 0, 0, 0]]).tolist()
    [1.0, 2.5, 1.0]
    """
    load = as_array(load)
    mean = load.mean(axis=-1)
    return np.divide(load.max(axis=-1), mean, out=np.ones(mean.shape), where=mean > 0)


def dead(load: Any, below: float = 0.05) -> np.ndarray:
    """Is each expert's load less than this share of the mean? [..., experts] -> bool, the same shape.

    Examples
    --------
    >>> dead([[100, 60, 39, 1]]).tolist()
    [[False, False, False, True]]
    """
    load = as_array(load)
    return load < below * load.mean(axis=-1, keepdims=True)
