"""Intervals: held against sets of whole numbers, where [start, end) is the numbers in it."""

from fractions import Fraction

from hypothesis import given, strategies as st

from pipelab.timeline import Intervals

# Not empty alone: intervals whose end lies before their start, or on it, hold nothing.
pairs = st.lists(st.tuples(st.integers(-9, 30), st.integers(-9, 30)), max_size=9)
bounds = st.tuples(st.integers(-9, 30), st.integers(-9, 30)).map(sorted)


def union(found):
    return Intervals([start for start, _ in found], [end for _, end in found])


def members(found):
    return {number for start, end in found for number in range(start, end)}


def is_tidy(found):
    """Sorted, and no piece is empty or touches the next."""
    edges = [edge for pair in found for edge in pair]
    return edges == sorted(set(edges))


@given(pairs)
def test_a_union_holds_the_same_numbers_in_sorted_pieces_that_do_not_touch(found):
    assert members(union(found)) == members(found)
    assert is_tidy(union(found))


@given(pairs)
def test_total_counts_the_numbers(found):
    assert union(found).total == len(members(found))


@given(pairs, pairs)
def test_what_two_share_and_what_one_has_alone(these, those):
    first, second = union(these), union(those)
    assert first.shared(second) == second.shared(first) == len(members(these) & members(those))
    alone = first.minus(second)
    assert members(alone) == members(these) - members(those)
    assert is_tidy(alone)
    assert alone.total == first.total - first.shared(second)


@given(pairs, bounds)
def test_within_counts_the_numbers_between_bounds(found, between):
    assert union(found).within(*between) == len(members(found) & set(range(*between)))


def test_nothing_at_all():
    nothing, two = union([]), union([(0, 2)])
    assert [*nothing] == [*nothing.minus(nothing)] == [*nothing.minus(two)] == [*union([(3, 3)])] == []
    assert [*two.minus(nothing)] == [(0, 2)]
    assert nothing.total == nothing.within(0, 9) == nothing.shared(two) == two.shared(nothing) == 0


def test_fractions_stay_exact():
    thirds = [Fraction(n, 3) for n in range(4)]
    assert [*Intervals(thirds[:-1], thirds[1:])] == [(0, 1)]
    only, whole = Intervals(thirds[1:2], thirds[2:3]), Intervals(thirds[:1], thirds[3:])
    assert [*whole.minus(only)] == [(0, Fraction(1, 3)), (Fraction(2, 3), 1)]
    assert only.total == whole.shared(only) == whole.within(0, thirds[1]) == Fraction(1, 3)


def test_nanoseconds_since_1970_are_exact():
    now = 1_740_461_679_470_692_123
    assert union([(now, now + 1), (now + 3, now + 8)]).shared(union([(now + 7, now + 99)])) == 1


def test_figures_are_plain_numbers():
    for found in ([(0, 2), (1, 5)], [(0.5, 2.5)], [(Fraction(1, 2), Fraction(2))]):
        these = union(found)
        assert {type(each) for each in (these.total, these.shared(these), these.within(0, 1))} == {type(found[0][1])}
