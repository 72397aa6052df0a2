"""Intervals: held against sets of whole numbers, where [start, end) is the numbers in it."""

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipelab.timeline import intervals

# Not empty alone: intervals whose end lies before their start, or on it, hold nothing.
pairs = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)
bounds = st.tuples(st.integers(0, 30), st.integers(0, 30)).map(sorted)


def union(found):
    return intervals.union(np.array([a for a, _ in found], dtype=int), np.array([b for _, b in found], dtype=int))


def members(found):
    return {number for start, end in found for number in range(start, end)}


@given(pairs)
def test_a_union_holds_the_same_numbers_in_sorted_pairs_that_do_not_touch(found):
    merged = union(found)
    assert members(merged) == members(found)
    edges = [edge for pair in merged for edge in pair]
    assert edges == sorted(set(edges))


@given(pairs)
def test_total_counts_the_numbers(found):
    assert intervals.total(union(found)) == len(members(found))


@given(pairs)
def test_a_complement_holds_all_other_numbers(found):
    free = intervals.complement(union(found), 0, 30)
    assert members(free) == set(range(30)) - members(found)
    edges = [edge for pair in free for edge in pair]
    assert edges == sorted(set(edges))


@given(pairs, bounds)
def test_within_counts_the_numbers_between_bounds(found, between):
    assert intervals.within(union(found), *between) == len(members(found) & set(range(*between)))


def test_nothing_at_all():
    assert union([]) == [] == intervals.complement([], 3, 3)
    assert intervals.complement([], 0, 2) == [(0, 2)]
    assert intervals.total([]) == intervals.within([], 0, 9) == 0


def test_fractions_stay_exact():
    thirds = np.array([Fraction(n, 3) for n in range(4)])
    assert intervals.union(thirds[:-1], thirds[1:]) == [(0, 1)]
    (only,) = intervals.union(thirds[1:2], thirds[2:3])
    assert intervals.complement([only], Fraction(0), Fraction(1)) == [(0, Fraction(1, 3)), (Fraction(2, 3), 1)]
    assert intervals.total([only]) == Fraction(1, 3)
