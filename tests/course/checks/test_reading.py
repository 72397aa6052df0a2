"""A student's function becomes a Schedule of any placement, or a sentence that says why not."""

from collections.abc import Callable

import pytest

from pipelab import build
from pipelab.course import schedule_of
from pipelab.schedules import SCHEDULES


@pytest.mark.parametrize("name", SCHEDULES)
def test_reads_every_placement_from_the_actions(name: str) -> None:
    wanted = build(name, 4, 8)
    texts = [[str(action) for action in program] for program in wanted.programs]
    for answer in (wanted, wanted.programs, texts):
        found = schedule_of(lambda ranks, microbatches, answer=answer: answer, 4, 8, name=name)
        assert found.programs == wanted.programs
        assert found.placement.routes == wanted.placement.routes
        assert found.name == name


@pytest.mark.parametrize(
    ("fn", "why"),
    [
        (lambda ranks, microbatches: None, "returns None; one list of actions per rank"),
        (lambda ranks, microbatches: ["0F0 0B0", "1F0 1B0"], "one list of actions per rank"),
        (lambda ranks, microbatches: [["0F0", "0B0"]], "1 lists; one per rank is wanted, 2"),
        (lambda ranks, microbatches: [["0F0", "0B"], ["1F0", "1B0"]], "0B"),
    ],
)
def test_says_what_is_wrong(fn: Callable[[int, int], list], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        schedule_of(fn, 2, 1)
