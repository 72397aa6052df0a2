"""Fixed routing: tokens whose experts are given, so that every expert gets exactly the load that is wanted."""

from __future__ import annotations

import numpy as np


def counts_of(load: np.ndarray, tokens: int) -> np.ndarray:
    """The load [layers, experts] in whole tokens, `tokens` of them in every layer: int64, the same shape.

    All are rounded down; the tokens left over go where the most was cut off. A layer without load gets an even one.

    >>> counts_of(np.array([[5.0, 2.0, 2.0], [0.0, 0.0, 0.0]]), tokens=10).tolist()
    [[6, 2, 2], [4, 3, 3]]
    """
    total = load.sum(axis=1, keepdims=True)
    even = np.full_like(load, 1 / load.shape[1])
    share = tokens * np.divide(load, total, out=even, where=total > 0)
    # A load in whole tokens must stay itself, whatever a division leaves after the point.
    whole = np.floor(share + 1e-9).astype(np.int64)
    left = tokens - whole.sum(axis=1)
    place = np.argsort(np.argsort(whole - share, axis=1, kind="stable"), axis=1, kind="stable")
    return whole + (place < left[:, None])


def routes_of(counts: np.ndarray, seed: int) -> np.ndarray:
    """The expert of each token, [layers, tokens], in an order drawn anew for every layer.

    >>> sorted(routes_of(np.array([[1, 0, 2]]), seed=0)[0].tolist())
    [0, 2, 2]
    """
    random = np.random.default_rng(seed)
    experts = np.arange(counts.shape[1])
    return np.stack([random.permutation(np.repeat(experts, layer)) for layer in counts])
