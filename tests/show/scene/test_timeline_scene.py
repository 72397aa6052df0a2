"""Boxes: a rectangle for every span, where and as long as it was."""

import numpy as np
from hypothesis import given, settings, strategies as st

from pipelab import Costs, Timeline, simulate
from pipelab.ir import Action
from pipelab.schedules import dualpipe, gpipe, zb_v
from pipelab.show.palette import STYLES
from pipelab.show.scene.chart import BAR, Chart
from pipelab.show.scene.timeline_scene import all_or_none, kinds, timeline_chart, tints_mean
from pipelab.timeline import Span
from tests.ir.generate import valid_schedules
from tests.simulator.reference import random_costs


def boxes(timeline: Timeline) -> Chart:
    until = float(timeline.makespan) or 1
    return timeline_chart(timeline, until, 886 / until, 30)


def ranks(drawn: Chart) -> list[int]:
    return ((drawn.top + drawn.bottom) / 2).round().astype(int).tolist()


@given(st.data())
@settings(max_examples=60)
def test_every_span_has_its_box(data):
    schedule = data.draw(valid_schedules())
    timeline = simulate(schedule, data.draw(random_costs(schedule.num_stages)))
    drawn = boxes(timeline)
    expected = sorted(
        (span.rank, float(span.start - timeline.begin), float(span.end - timeline.begin))
        for span in timeline.spans
        for _ in (span.action.parts if span.stream == "compute" and span.action.parts else (0,))
    )
    assert sorted(zip(ranks(drawn), drawn.left.tolist(), drawn.right.tolist(), strict=True)) == expected
    upper = np.array(ranks(drawn)) - BAR / 2
    within = (drawn.top >= upper - 1e-9) & (drawn.top < drawn.bottom) & (drawn.bottom <= upper + BAR + 1e-9)
    assert within.all()
    assert [kind for kind in STYLES if kind in {kind for kind, _ in drawn.styles}] == kinds(timeline)
    assert len(drawn.colours) == len(drawn.styles) == len(np.unique(drawn.style))


def test_of_a_kind_all_are_labelled_or_none():
    drawn = boxes(simulate(gpipe(1, 8)))
    long = np.array([STYLES[drawn.styles[style][0]] is STYLES["B"] for style in drawn.style])
    one_forward = long | (np.arange(len(long)) == np.flatnonzero(~long)[0])
    assert all_or_none(drawn.style, one_forward).tolist() == long.tolist()
    mostly = one_forward.copy()
    mostly[np.flatnonzero(~long)[:5]] = True
    assert all_or_none(drawn.style, mostly).tolist() == mostly.tolist()


def test_a_pair_is_forward_above_backward_in_one_frame():
    pair = Action.parse("(0F7;3B2)OVERLAP_F_B")
    drawn = boxes(Timeline.from_spans([Span(0, "compute", pair, 1, 3)], "pair"))
    assert [drawn.styles[style][0] for style in drawn.style] == ["F", "B"]
    assert drawn.labels.tolist() == ["7", "2"]
    assert drawn.bottom[0] == drawn.top[1] == 0
    assert drawn.frames.tolist() == [0]


def test_communication_lies_below_computation_and_bears_no_label():
    drawn = boxes(simulate(gpipe(2, 1), Costs(forward_comm=1)))
    communicating = [i for i, style in enumerate(drawn.style) if drawn.styles[style][0] == "comm"]
    computing = [i for i in range(len(drawn.labels)) if i not in communicating]
    assert len(communicating) == 2
    assert all(drawn.labels[i] == "" for i in communicating)
    assert (drawn.bottom - ranks(drawn))[computing].max() < (drawn.top - ranks(drawn))[communicating].min()


def test_later_chunks_of_a_rank_are_lighter():
    actions = [Action("F", stage, 0) for stage in (0, 2, 4)]
    drawn = boxes(Timeline.from_spans([Span(0, "compute", a, i, i + 1) for i, a in enumerate(actions)], "chunks"))
    tints = [drawn.styles[style][1] for style in drawn.style]
    assert tints[0] == 0
    assert tints == sorted(set(tints))


def test_ranks_that_share_a_stage_and_its_micro_batches_have_one_direction():
    spans = [Span(rank, "compute", Action("F", 0, m), m, m + 1) for rank in (0, 1) for m in (0, 1)]
    assert {tint for _, tint in boxes(Timeline.from_spans(spans, "experts")).styles} == {0.0}


def test_the_second_direction_is_lighter():
    spans = [
        Span(rank, "compute", Action("F", rank if m == 0 else 1 - rank, m), m, m + 1) for rank in (0, 1) for m in (0, 1)
    ]
    drawn = boxes(Timeline.from_spans(spans, "both ways"))
    tint = {
        (int(r), label): drawn.styles[s][1] for r, label, s in zip(ranks(drawn), drawn.labels, drawn.style, strict=True)
    }
    assert tint[0, "0"] == tint[1, "0"] == 0
    assert tint[0, "1"] == tint[1, "1"] > 0


def test_a_legend_says_what_lighter_means_and_where():
    one, two, three = simulate(gpipe(2, 4)), simulate(zb_v(2, 4)), simulate(dualpipe(2, 4))
    assert tints_mean(one) == ""
    assert tints_mean(one, two) == tints_mean(two, two) == "lighter: a rank's later stages"
    both = "lighter: micro-batches of the other direction (dualpipe); a rank's later stages (zb-v)"
    assert tints_mean(three, one, two) == both


def test_an_empty_timeline_has_no_boxes():
    assert len(boxes(Timeline.from_spans([], "empty", 2)).left) == 0
