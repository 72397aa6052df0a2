"""DualPipe: micro-batches from both ends, a rank's phases, and pairs that hide communication."""

from operator import eq, ge
from statistics import fmean

from ...ir import Action
from ...ir.action import FORWARD
from ...schedules import build
from ...simulator import Costs
from ..checks.judge import Judged, Replies
from ..checks.schedule_check import Size, by_rank
from .base import Assignment
from .pipeline import Pipeline

_DUALPIPE = Pipeline("my_schedule", like="dualpipe", sizes=((2, 4), (4, 8), (4, 10), (8, 20)))
_HIDDEN = Costs(1, 1, 1, overlapped=2)  # of a pair's 3 units one is hidden


def _warmup(program: tuple[Action, ...]) -> int:
    """Forwards before the first backward, on their own or in a pair."""
    kinds = [part.kind for action in program for part in action.computes]
    return next((number for number, kind in enumerate(kinds) if kind != FORWARD), len(kinds))


def _warms_up(replies: Replies, size: Size) -> Judged:
    """As many forwards as in DualPipe before a rank's first backward."""
    schedules = _DUALPIPE.schedule(replies, size), build("dualpipe", *size)
    mine, theirs = ([*map(_warmup, each.programs)] for each in schedules)
    return by_rank(mine, theirs, eq, "forward", "does {has} before its first backward; {wanted} would be right")


def _pairs(program: tuple[Action, ...]) -> int:
    return sum(bool(action.parts) for action in program)


def _overlaps(replies: Replies, size: Size) -> Judged:
    """At least as many pairs as in DualPipe."""
    schedules = _DUALPIPE.valid(replies, size), build("dualpipe", *size)
    mine, theirs = ([*map(_pairs, each.programs)] for each in schedules)
    judged = by_rank(mine, theirs, ge, "overlapped pair", "has {has}; {wanted} {are} possible")
    return judged._replace(share=fmean(min(1, has / wanted) for has, wanted in zip(mine, theirs, strict=True)))


ASSIGNMENT = Assignment(
    name="dualpipe",
    title="DualPipe's phases",
    version=1,
    files={"schedule.py": ("my_schedule(ranks, microbatches)",)},
    questions=_DUALPIPE.questions,
    table="my_schedule",
    tests=(
        _DUALPIPE.test("warms up from both ends", 2, _warms_up).hinted(
            "micro-batches 0 to M/2-1 enter on rank 0 and the others on the last rank; count the way to the middle",
            "rank r of the first half does 2·(P/2-1-r) forwards from its own end, then r+1 from both in turn, and "
            "then one from the far end for each gradient that comes in, P/2-1-r times",
        ),
        _DUALPIPE.runs(2).hinted(
            "stage s of a micro-batch that goes up is on rank P-1-s",
            "write the first half of the ranks; the second half is its mirror image with the directions exchanged",
        ),
        _DUALPIPE.test("overlaps forwards with backwards", 2, _overlaps).hinted(
            "from the first gradient on, a rank has a forward of one direction and a backward of the other at once",
            "write the steady phase as pairs, such as (0F7;3B2)OVERLAP_F_B; in the middle the first is not a pair",
        ),
        _DUALPIPE.fast(1, above="1f1b").hinted(
            "in the drain, a rank that waits for a gradient can do a weight gradient that it put off",
            "phase 3 and half of the backwards of the drain are split in I and W",
        ),
        _DUALPIPE.fast(1, costs=_HIDDEN, where=" where a pair hides a third", above="1f1b").hinted(
            "each pair now takes 2 instead of 3: where is a forward next to a backward that could be its pair?"
        ),
        _DUALPIPE.lean(1).hinted("P+1 activations are enough on every rank: don't start a forward before it is needed"),
        _DUALPIPE.trains(1, (4, 8)),
    ),
)
