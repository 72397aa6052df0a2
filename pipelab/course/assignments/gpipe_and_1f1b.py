"""GPipe and 1F1B: the same bubble, with all activations kept and with few."""

from ...ir.action import FORWARD
from ..checks.judge import Judged, Replies
from ..checks.schedule_check import Size
from .base import Assignment
from .pipeline import Pipeline

_GPIPE = Pipeline("my_gpipe", like="gpipe")
_1F1B = Pipeline("my_1f1b", like="1f1b")


def _all_forwards_first(replies: Replies, size: Size) -> Judged:
    """It must be GPipe's order, not another one that is as fast."""
    kinds = ["".join(action.kind for action in program) for program in _GPIPE.schedule(replies, size).programs]
    late = [rank for rank, done in enumerate(kinds) if FORWARD in done.lstrip(FORWARD)]
    reasons = tuple(f"rank {rank} does a forward after a backward" for rank in late)
    return Judged(1 - len(late) / len(kinds), reasons)


ASSIGNMENT = Assignment(
    name="gpipe-and-1f1b",
    title="GPipe and 1F1B",
    version=1,
    files={"schedule.py": ("my_gpipe(ranks, microbatches)", "my_1f1b(ranks, microbatches)")},
    questions=_GPIPE.questions + _1F1B.questions,
    tests=(
        _GPIPE.runs(2).hinted(
            "each rank r has the actions of stage r only: a forward and a backward of every micro-batch",
            "a rank's backward of a micro-batch needs the next rank's backward of the same one, which comes first",
        ),
        _GPIPE.fast(1).hinted(
            "no rank may wait for a gradient while it still has a forward to do",
            "all forwards in order, then all backwards",
        ),
        _GPIPE.test("does all forwards first", 1, _all_forwards_first).hinted(
            "GPipe starts no backward before its last forward"
        ),
        _1F1B.runs(1).hinted(
            "three parts: warm-up, steady, drain; together they have every micro-batch once",
            "with fewer micro-batches than ranks the warm-up has min(…, microbatches) forwards",
        ),
        _1F1B.fast(1).hinted(
            "on which rank does the first backward begin, and how many forwards have those above it done by then?",
            "rank r warms up with ranks - 1 - r forwards; then one forward, one backward, in turn",
        ),
        _1F1B.lean(2).hinted(
            "an activation is kept from its forward to its backward: start no forward before it is needed",
            "the last rank warms up with none at all",
        ),
        _GPIPE.trains(1, (4, 8)),
        _1F1B.trains(1, (4, 8)),
    ),
)
