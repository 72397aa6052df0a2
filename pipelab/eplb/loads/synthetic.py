"""Synthetic: loads made by rule, from a seed. Real loads are less regular; compare with `recorded_loads`."""

from __future__ import annotations

import numpy as np

from ...amounts import at_least


def zipf(layers: int, experts: int, *, exponent: float = 1.0, seed: int, tokens: int | None = None) -> np.ndarray:
    """Loads [layers, experts] by Zipf's law: the i-th heaviest expert's goes as i ** -exponent, in a random order.

    Parameters
    ----------
    layers, experts : int
        The shape. A number that cannot be raises a ValueError.
    exponent : float
        0 or more; 0 makes all loads equal.
    seed : int
        Of the random order, and of the tokens.
    tokens : int, optional
        Draw that many tokens per layer in these proportions. Default: loads are floats with a mean of 1.

    Examples
    --------
    >>> zipf(1, 4, exponent=1, seed=0, tokens=100).sum(axis=1).tolist()
    [100]
    """
    layers, experts, tokens = _checked(layers, experts, tokens, exponent=exponent)
    random = np.random.default_rng(seed)
    share = np.tile(np.arange(1, experts + 1, dtype=float) ** -exponent, (layers, 1))
    return _loads(random.permuted(share, axis=1), tokens, random)


def lognormal(layers: int, experts: int, *, sigma: float = 1.0, seed: int, tokens: int | None = None) -> np.ndarray:
    """Loads [layers, experts] whose logarithms are normal.

    Parameters
    ----------
    layers, experts : int
        The shape.
    sigma : float
        The standard deviation of the logarithms.
    seed, tokens : int
        As in `zipf`.

    Examples
    --------
    >>> load = lognormal(2, 256, sigma=1, seed=0)
    >>> load.shape, load.mean(axis=1).round(6).tolist()
    ((2, 256), [1.0, 1.0])
    """
    layers, experts, tokens = _checked(layers, experts, tokens, sigma=sigma)
    random = np.random.default_rng(seed)
    return _loads(np.exp(sigma * random.standard_normal((layers, experts))), tokens, random)


def one_hot(layers: int, experts: int, *, seed: int, tokens: int | None = None) -> np.ndarray:
    """Loads [layers, experts] where one expert of each layer gets everything.

    Parameters
    ----------
    layers, experts : int
        The shape.
    seed, tokens : int
        As in `zipf`.

    Examples
    --------
    >>> one_hot(1, 4, seed=0).max(axis=1).tolist()
    [4.0]
    """
    layers, experts, tokens = _checked(layers, experts, tokens)
    random = np.random.default_rng(seed)
    return _loads(np.eye(experts)[random.integers(experts, size=layers)], tokens, random)


def drifting(
    windows: int,
    layers: int,
    experts: int,
    *,
    sigma: float = 1.0,
    correlation: float = 0.98,
    seed: int,
    tokens: int | None = None,
) -> np.ndarray:
    """Lognormal loads that wander, [windows, layers, experts]. In the long run no expert is heavier than another.

    Parameters
    ----------
    windows, layers, experts : int
        The shape.
    sigma : float
        The standard deviation of the logarithms.
    correlation : float, 0 to 1
        Between the logarithms of an expert's loads in two successive windows. With 1 they stay the same.
    seed, tokens : int
        As in `zipf`.

    Examples
    --------
    >>> drifting(5, 2, 16, correlation=0.9, seed=0, tokens=300).sum(axis=2).tolist()
    [[300, 300], [300, 300], [300, 300], [300, 300], [300, 300]]
    """
    windows = at_least(0, windows, "windows")
    layers, experts, tokens = _checked(layers, experts, tokens, sigma=sigma, correlation=correlation)
    if correlation > 1:
        raise ValueError(f"correlation is 0 to 1; got {correlation}")
    random = np.random.default_rng(seed)
    state = random.standard_normal((layers, experts))
    made = np.empty((windows, layers, experts))
    for window in made:
        window[:] = state
        state = correlation * state + np.sqrt(1 - correlation**2) * random.standard_normal((layers, experts))
    return _loads(np.exp(sigma * made), tokens, random)


def _loads(share: np.ndarray, tokens: int | None, random: np.random.Generator) -> np.ndarray:
    share = share / share.sum(axis=-1, keepdims=True)
    return share * share.shape[-1] if tokens is None else random.multinomial(tokens, share)


def _checked(layers: int, experts: int, tokens: int | None, **values: float) -> tuple[int, int, int | None]:
    for name, value in values.items():
        if not 0 <= value < np.inf:
            raise ValueError(f"{name} must be 0 or more, and finite; got {value}")
    drawn = None if tokens is None else at_least(0, tokens, "tokens")
    return at_least(0, layers, "layers"), at_least(1, experts, "experts"), drawn
