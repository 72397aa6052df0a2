"""Cover: held against sets of whole numbers, where [start, end) is the numbers in it."""

from hypothesis import given
from hypothesis import strategies as st

from pipelab.timeline.intervals import Cover

pairs = st.lists(st.tuples(st.integers(-9, 30), st.integers(0, 12)), max_size=9).map(
    lambda rows: sorted((start, start + length) for start, length in rows)
)


def cover(rows):
    return Cover([start for start, _ in rows], [end for _, end in rows])


def members(rows):
    return {number for start, end in rows for number in range(start, end)}


@given(pairs)
def test_its_length_and_its_pieces(rows):
    found = cover(rows)
    assert found.total == len(members(rows))
    assert members(zip(found.start.tolist(), found.end.tolist(), strict=True)) == members(rows)
    assert (found.start[1:] > found.end[:-1]).all()


@given(pairs, pairs)
def test_what_two_share_and_what_one_has_alone(these, those):
    first, second = cover(these), cover(those)
    assert first.shared(second) == second.shared(first) == len(members(these) & members(those))
    alone = first.minus(second)
    assert members(zip(alone.start.tolist(), alone.end.tolist(), strict=True)) == members(these) - members(those)
    assert alone.total == first.total - first.shared(second)


def test_nanoseconds_since_1970_are_exact():
    now = 1_740_461_679_470_692_123
    assert cover([(now, now + 1), (now + 3, now + 8)]).shared(cover([(now + 7, now + 99)])) == 1
