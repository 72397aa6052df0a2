"""Synthetic: loads made by rule, from a seed. Real ones are less regular: compare with recorded loads.

Every generator gives loads [layers, experts] (drifting: one more axis, of windows, before them) whose mean is 1; or,
with `tokens`, whole numbers of tokens, drawn at random in these proportions, that add up to so many per layer.
ValueError for numbers of layers, experts or tokens that there can't be, and for exponents and the like below 0.
"""

from __future__ import annotations

import numpy as np

from ..sizes import whole


def zipf(layers: int, experts: int, exponent: float = 1.0, *, seed: int, tokens: int | None = None) -> np.ndarray:
    """The i-th heaviest expert's load goes as i ** -exponent; which expert that is, differs from layer to layer.

    >>> zipf(1, 4, exponent=1, seed=0, tokens=100).sum(axis=1).tolist()
    [100]
    """
    _check(layers, experts, tokens, exponent=exponent)
    random = np.random.default_rng(seed)
    share = np.tile(np.arange(1, experts + 1, dtype=float) ** -exponent, (layers, 1))
    return _loads(random.permuted(share, axis=1), tokens, random)


def lognormal(layers: int, experts: int, sigma: float = 1.0, *, seed: int, tokens: int | None = None) -> np.ndarray:
    """Logarithms of the loads are normal, with standard deviation sigma.

    >>> load = lognormal(2, 256, sigma=1, seed=0)
    >>> load.shape, load.mean(axis=1).round(6).tolist()
    ((2, 256), [1.0, 1.0])
    """
    _check(layers, experts, tokens, sigma=sigma)
    random = np.random.default_rng(seed)
    return _loads(np.exp(sigma * random.standard_normal((layers, experts))), tokens, random)


def one_hot(layers: int, experts: int, *, seed: int, tokens: int | None = None) -> np.ndarray:
    """One expert of each layer gets everything.

    >>> one_hot(1, 4, seed=0).max(axis=1).tolist()
    [4.0]
    """
    _check(layers, experts, tokens)
    random = np.random.default_rng(seed)
    return _loads(np.eye(experts)[random.integers(experts, size=layers)], tokens, random)


def drifting(
    windows: int,
    layers: int,
    experts: int,
    sigma: float = 1.0,
    correlation: float = 0.98,
    *,
    seed: int,
    tokens: int | None = None,
) -> np.ndarray:
    """Lognormal loads that wander: [windows, layers, experts]. In the long run no expert is heavier than another.

    correlation   between the logarithms of an expert's loads in one window and in the next, 0 to 1; 1: they stay

    >>> drifting(5, 2, 16, correlation=0.9, seed=0, tokens=300).sum(axis=2).tolist()
    [[300, 300], [300, 300], [300, 300], [300, 300], [300, 300]]
    """
    whole("windows", windows, 0)
    _check(layers, experts, tokens, sigma=sigma, correlation=correlation)
    if correlation > 1:
        raise ValueError(f"correlation is 0 to 1; got {correlation}")
    random = np.random.default_rng(seed)
    state = random.standard_normal((layers, experts))
    made = np.empty((windows, layers, experts))
    for window in range(windows):
        made[window] = state
        state = correlation * state + np.sqrt(1 - correlation**2) * random.standard_normal((layers, experts))
    return _loads(np.exp(sigma * made), tokens, random)


def _loads(share: np.ndarray, tokens: int | None, random: np.random.Generator) -> np.ndarray:
    share = share / share.sum(axis=-1, keepdims=True)
    if tokens is None:
        return share * share.shape[-1]
    return random.multinomial(tokens, share)


def _check(layers: int, experts: int, tokens: int | None, **values: float) -> None:
    whole("layers", layers, 0)
    whole("experts", experts)
    whole("tokens", 0 if tokens is None else tokens, 0)
    for name, value in values.items():
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} must be 0 or more, and finite; got {value}")
