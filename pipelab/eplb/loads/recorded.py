"""Recorded: how many tokens went to each expert of a real, small Mixture of Experts. data/expert_loads tells how."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

FOLDER = "expert_loads"
RECORDINGS = ("none", "auxiliary", "bias")
TOP_K = 2  # experts for each token, in all recordings


@dataclass(frozen=True, eq=False)
class RecordedLoads:
    """How many tokens chose each expert, in read-only arrays. Every layer's sum is the window's tokens · top_k.

    Examples
    --------
    >>> loads = recorded_loads("none")
    >>> list(loads.domains), loads.serving.shape
    (['code', 'docstrings', 'manual', 'tables', 'bytecode'], (40, 4, 16))
    """

    balance: str  #: how the training kept loads even: "none"; by an "auxiliary" loss that grows with them; by a "bias"
    top_k: int  #: experts that each token chooses
    windows: np.ndarray  #: int64 [windows, layers, experts]: during the training, on a mixture of all kinds of text
    losses: np.ndarray  #: [windows]: of the training, cross entropy in nats per byte
    domains: dict[str, np.ndarray]  #: kind of text -> loads of the trained model on held-out text of that kind
    domain_losses: dict[str, float]  #: kind of text -> cross entropy on it
    serving: np.ndarray  #: int64 [windows, layers, experts]: on held-out text that moves from kind to kind
    serving_kinds: tuple[str, ...]  #: the kind that prevails in each of these; at its end the next one comes in

    def __repr__(self) -> str:
        layers, experts = self.windows.shape[1:]
        return (
            f"loads recorded with balance={self.balance!r}: {layers} layers, {experts} experts, top {self.top_k}; "
            f"{len(self.windows)} windows of training, {len(self.domains)} kinds of text, "
            f"{len(self.serving)} windows of serving"
        )


def recorded_loads(balance: str = "none") -> RecordedLoads:
    """The recording of a training. It is read from data/expert_loads; the README there says how it was made.

    Parameters
    ----------
    balance : {"none", "auxiliary", "bias"}
        How the training kept loads even; another value raises a ValueError.

    Examples
    --------
    >>> recorded_loads("bias").windows.shape  # windows, layers, experts
    (40, 4, 16)
    """
    if balance not in RECORDINGS:
        raise ValueError(f"loads were recorded with balance {', '.join(map(repr, RECORDINGS))}; got {balance!r}")
    inside = files("pipelab") / "data" / FOLDER / f"{balance}.csv"  # a link to the folder beside pipelab
    file = inside if inside.is_file() else Path(__file__).parents[3] / "data" / FOLDER / f"{balance}.csv"
    return parse(file.read_text(encoding="utf-8"), balance)


def parse(text: str, balance: str) -> RecordedLoads:
    """A recording from what data/expert_loads/record.py writes: a line for each window and layer.

    >>> made = parse("part,window,kind,loss,layer,expert0,expert1\\ntraining,0,mixed,5.5,0,3,1\\n", "none")
    >>> made.windows.tolist(), made.losses.tolist()
    ([[[3, 1]]], [5.5])
    """
    head, *lines = csv.reader(text.splitlines())
    table = np.array(lines)
    layers = len(np.unique(table[:, head.index("layer")]))
    tokens = table[:, head.index("expert0") :].astype(np.int64).reshape(len(table) // layers, layers, -1)
    part, _, kind, loss, *_ = table[::layers].T  # of each window
    losses = loss.astype(float)
    training, domain, serving = (part == name for name in ("training", "domain", "serving"))
    return RecordedLoads(
        balance,
        TOP_K,
        windows=_frozen(tokens[training]),
        losses=_frozen(losses[training]),
        domains=dict(zip(kind[domain].tolist(), _frozen(tokens[domain]), strict=True)),
        domain_losses=dict(zip(kind[domain].tolist(), losses[domain].tolist(), strict=True)),
        serving=_frozen(tokens[serving]),
        serving_kinds=tuple(kind[serving].tolist()),
    )


def _frozen(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
