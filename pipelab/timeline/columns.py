"""Columns: a timeline's actions, each once, from its first start to its last end: what its figures are made of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..ir.codes import SENDS, PlainActions, unpack


class Columns(NamedTuple):
    """Actions, rank after rank, on each by their start. An action that has several spans is one row."""

    codes: np.ndarray  # [parts]
    parts: PlainActions  # what they say; an overlapped pair has two
    row: np.ndarray  # [parts] the row that each belongs to
    first: np.ndarray  # [rows] its first part
    rank: np.ndarray  # [rows]
    start: np.ndarray
    end: np.ndarray

    @classmethod
    def of_spans(cls, rank: np.ndarray, codes: np.ndarray, start: np.ndarray, end: np.ndarray) -> Columns:
        """From spans, in any order: `codes` are those of their actions, all else is one entry per span."""
        if not _each_once(codes):
            codes, rank, start, end = _joined(codes, rank, start, end)
        order = in_order(rank, start, end)
        if (order[1:] < order[:-1]).any():
            codes, rank, start, end = chosen(codes, order), rank[order], start[order], end[order]
        parts = unpack(codes)
        return cls(codes, parts, np.cumsum(~parts.second) - 1, np.flatnonzero(~parts.second), rank, start, end)

    @property
    def is_pair(self) -> np.ndarray:
        """[rows] Is it an overlapped pair?"""
        return self.parts.first[self.first]

    @property
    def is_send(self) -> np.ndarray:
        """[rows] Is it a blocking send?"""
        return self.parts.kind[self.first] >= SENDS


def starts(codes: np.ndarray) -> np.ndarray:
    """Where each action's codes begin: a pair has two."""
    return np.flatnonzero(~unpack(codes).second)


def chosen(codes: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The codes of some of the actions, in their order."""
    first = starts(codes)
    length = np.diff(np.append(first, len(codes)))[actions]
    before = np.repeat(np.cumsum(length) - length, length)
    return codes[np.repeat(first[actions], length) + np.arange(len(before)) - before]


def in_order(rank: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The order by rank, on each rank by start, and of those that start together by end; else they stay as they are."""
    later = np.ones(len(rank[1:]), dtype=bool)
    for column in (end, start, rank):
        later = (column[1:] > column[:-1]) | (column[1:] == column[:-1]) & later
    order = np.arange(len(rank))
    if not later.all():
        for column in (end, start, rank):  # the last one counts most
            order = order[np.argsort(column[order], kind="stable")]
    return order


def _each_once(codes: np.ndarray) -> bool:
    """Does no plain action come twice?"""
    kind, stage, microbatch, _ = unpack(codes)
    shape = 8, int(stage.max(initial=0)) + 1, int(microbatch.max(initial=0)) + 1
    if np.prod(shape, dtype=float) > 64 * len(codes) + 1_000_000:  # numbers out of all proportion
        return len(np.unique(codes)) == len(codes)
    seen = np.zeros(shape, dtype=bool)
    seen[kind, stage, microbatch] = True
    return int(np.count_nonzero(seen)) == len(codes)


def _joined(codes: np.ndarray, rank: np.ndarray, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, ...]:
    """Spans of one action on one rank made one, in the order in which actions are met."""
    first = starts(codes)
    pair = np.diff(np.append(first, len(codes))) > 1
    key = rank, codes[first], np.where(pair, np.append(codes, 0)[first + 1], 0)
    alike = np.lexsort(key)  # stable: the first span of each stays the first
    new = np.append(True, np.any([column[alike][1:] != column[alike][:-1] for column in key], axis=0))
    groups = np.flatnonzero(new)
    low, high = np.minimum.reduceat(start[alike], groups), np.maximum.reduceat(end[alike], groups)
    span = alike[groups]
    met = np.argsort(span)
    return chosen(codes, span[met]), rank[span[met]], low[met], high[met]
