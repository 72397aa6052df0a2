"""Predict: what the experts' loads will be, from the windows seen so far. A plan is only as good as this."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from ...amounts import at_least
from ..sizes import as_load


class MovingAverage:
    """The exponential moving average of all windows: a window's weight halves with every `half_life` windows after it.

    The weights of the windows seen sum to 1 from the first one on, as it does not start from zeros.

    Parameters
    ----------
    half_life : float
        A number of windows above 0; else a ValueError.

    Examples
    --------
    >>> average = MovingAverage(half_life=1)
    >>> [average.update([window]).tolist() for window in ([8, 0], [2, 6])]
    [[[8.0, 0.0]], [[4.0, 4.0]]]
    """

    def __init__(self, half_life: float) -> None:
        if not 0 < half_life < np.inf:
            raise ValueError(f"half_life is a number of windows above 0; got {half_life}")
        self.half_life = half_life
        self._sum: np.ndarray | None = None
        self._weight = 0.0

    def update(self, load: Any) -> np.ndarray:
        """Take in the newest window [layers, experts]; returns the prediction for the next."""
        load = as_load(load)
        keep = 0.5 ** (1 / self.half_life)
        if self._sum is None:
            self._sum = np.zeros_like(load)
        _same_shape(load, self._sum)
        self._sum = keep * self._sum + (1 - keep) * load
        self._weight = keep * self._weight + (1 - keep)
        return self._sum / self._weight


class Window:
    """The mean of the last `length` windows, or of all if there were fewer. Length 1 repeats the last one.

    Examples
    --------
    >>> window = Window(2)
    >>> [window.update([[load, 4]]).tolist() for load in (8, 2, 0)]
    [[[8.0, 4.0]], [[5.0, 4.0]], [[1.0, 4.0]]]
    """

    def __init__(self, length: int) -> None:
        self._seen: deque[np.ndarray] = deque(maxlen=at_least(1, length, "length"))

    def update(self, load: Any) -> np.ndarray:
        """Take in the newest window [layers, experts]; returns the prediction for the next."""
        load = as_load(load)
        _same_shape(load, self._seen[0] if self._seen else load)
        self._seen.append(load)
        return np.mean(self._seen, axis=0)


def _same_shape(load: np.ndarray, earlier: np.ndarray) -> None:
    if load.shape != earlier.shape:
        raise ValueError(f"earlier windows have shape {earlier.shape}, [layers, experts]; got {load.shape}")
