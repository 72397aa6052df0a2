"""Fill the bubbles: the backward split in I and W, and W placed where a rank would wait."""

from .base import Assignment
from .pipeline import Pipeline

_ZERO_BUBBLE = Pipeline("my_schedule", like="zb-h1")

ASSIGNMENT = Assignment(
    name="fill-the-bubbles",
    title="Fill the bubbles with W",
    version=1,
    files={"schedule.py": ("my_schedule(ranks, microbatches)",)},
    questions=_ZERO_BUBBLE.questions,
    table="my_schedule",
    tests=(
        _ZERO_BUBBLE.runs(3).hinted(
            "every micro-batch needs F, I and W on every rank, each once, W some time after its I",
            "count the W that you put off: all of them must come at the end",
        ),
        _ZERO_BUBBLE.fast(4, above="1f1b").hinted(
            "the rank above waits for I, and nobody waits for W: what should a rank do first?",
            "rank r may put off r weight gradients, and does one in every gap of its drain",
        ),
        _ZERO_BUBBLE.lean(2).hinted(
            "an activation is kept until its W is done, not its I",
            "a rank that has put off r of them does one W for each further I",
        ),
        _ZERO_BUBBLE.trains(1, (4, 8)),
    ),
)
