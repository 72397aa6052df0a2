"""The terms of DualPipe's bubble: each counts the gaps that are marked with it, and the marks follow the sliders."""

import re
from fractions import Fraction
from xml.etree import ElementTree

import pytest
from hypothesis import example, given, strategies as st

from pipelab import Costs, build, simulate, theory
from pipelab.schedules import zb_h1
from pipelab.show.backends.svg import Geometry
from pipelab.show.explore.bubble_explorer import bubble_svg, explore_bubble
from pipelab.show.plots.bubble_plots import bubble_terms, middle_rank, plot_bubble
from tests.schedules.cases import built, cases

numbers = st.integers(0, 9) | st.fractions(0, 9, max_denominator=12)


def idle(explorer):
    return {term.letter: float(term.idle) for term in explorer.terms}


@given(cases("dualpipe", "dualpipe-v"), numbers, numbers, numbers, numbers)
@example(("dualpipe", 8, 20, None), 1, 5, 1, 1)  # all four terms
@example(("dualpipe-v", 4, 10, None), 2, 9, 1, 1)
def test_each_term_is_the_length_of_its_gaps(case, f, i, w, more):
    """F&B anywhere from the longer of F and B to F + B."""
    costs = Costs(f, i, w, overlapped=min(max(f, i + w) + more, f + i + w))
    timeline = simulate(built(case), costs)
    terms, middle = bubble_terms(timeline, costs), middle_rank(timeline)
    assert [term.idle for term in terms] == [term.value for term in terms]
    assert sum(term.value for term in terms) == timeline.idle[middle]
    marked = [gap for term in terms for gap in term.gaps]
    assert sorted((gap.start, gap.end) for gap in marked) == sorted(
        (gap.start, gap.end) for gap in timeline.gaps() if gap.rank == middle
    )


def test_the_terms_add_up_to_the_general_formula_and_not_always_to_the_published_one():
    costs = Costs(10, 13, 5, overlapped=24)
    timeline = simulate(build("dualpipe", 8, 20), costs)
    formula = theory("dualpipe", 8, 20, forward=10, backward_input=13, backward_weight=5, overlapped=24)
    assert {term.letter: term.idle for term in bubble_terms(timeline, costs)} == {"a": 30, "b": 0, "c": 18, "d": 24}
    assert formula.bubble == 30 + 18 + 24 != formula.published_bubble


def test_floats_leave_no_marks_where_no_gap_is():
    costs = Costs(0.1, 0.1, 0.1, overlapped=0.2)
    timeline = simulate(build("dualpipe", 8, 20), costs)
    assert [len(term.gaps) for term in bubble_terms(timeline, costs)] == [1, 0, 0, 0]


def test_marks_lie_on_the_gaps_of_the_middle_rank():
    costs = Costs(1, 5, 1, overlapped=Fraction(13, 2))
    timeline = simulate(build("dualpipe", 8, 20), costs)
    terms = bubble_terms(timeline, costs)
    for until in (None, 400):
        root = ElementTree.fromstring(bubble_svg(timeline, terms, until))
        geometry = Geometry.of(timeline, until)
        rects = [e for e in root.iter() if e.tag.endswith("rect") and e.get("fill")]
        assert [r.get("fill") for r in rects] == [term.colour for term in terms for _ in term.gaps]
        wanted = [geometry.box(3, gap.start, gap.end) for term in terms for gap in term.gaps]
        drawn = [[float(r.get(name)) for name in ("x", "y", "width", "height")] for r in rects]
        assert drawn == [pytest.approx([float(edge) for edge in box], abs=0.06) for box in wanted]
        letters = [e.text for e in root.iter() if e.tag.endswith("text")]
        assert letters == [term.letter for term in terms for _ in term.gaps]


@pytest.mark.parametrize(("name", "ranks", "middle"), [("dualpipe", 8, 3), ("dualpipe", 2, 0), ("dualpipe-v", 4, 3)])
def test_the_rank_in_the_middle_is_idle_longest(name, ranks, middle):
    timeline = simulate(build(name, ranks, 2 * ranks + 2), Costs(overlapped=Fraction(5, 2)))
    assert middle_rank(timeline) == middle
    assert timeline.idle[middle] == max(timeline.idle)


def test_it_follows_the_slider_from_no_gain_to_all_hidden():
    explorer = explore_bubble()  # F&B = F + B
    assert idle(explorer) == {"a": 3, "b": 0, "c": 3, "d": 0}
    seen = {explorer.predicted.marks.value}
    for pair in (2.6, 2.2):
        explorer.controls.sliders["overlapped"].value = pair
        assert idle(explorer) == pytest.approx({"a": 3, "b": 0, "c": 3 * (pair - 2), "d": 0})
        assert f">{3 * (pair - 1):.4g}</td>" in explorer.formula.value  # k(F&B+B-3W)
        seen.add(explorer.predicted.marks.value)
    assert len(seen) == 3
    explorer.controls.sliders["overlapped"].value = 2
    assert not re.search(r">c</text>", explorer.predicted.marks.value)
    assert "the same here" in explorer.formula.value
    explorer.controls.sliders["backward_input"].value, explorer.controls.sliders["backward_weight"].value = 1.5, 0.5
    assert "not the same here" in explorer.formula.value
    assert ">d</text>" in explorer.predicted.marks.value


def test_where_no_formula_holds_the_reason_stands_in_its_place():
    explorer = explore_bubble(overlapped=2.2)
    explorer.controls.sliders["backward_input"].value = 2
    assert "an overlapped pair takes 2.2, less than its backward alone" in explorer.formula.value
    assert explorer.terms == ()
    assert ">a</text>" not in explorer.predicted.marks.value
    assert "<svg" in explorer.predicted.picture.value
    explorer.controls.sliders["backward_input"].value = 1
    assert ">a</text>" in explorer.predicted.marks.value
    explorer.controls.sliders["ranks"].value = 12  # of 20 micro-batches
    assert "at least 24 micro-batches" in explorer.predicted.picture.value
    assert explorer.formula.value == explorer.predicted.marks.value == ""


def test_its_sliders_leave_out_what_dualpipe_does_not_take():
    explorer = explore_bubble()
    for name in ("ranks", "microbatches"):
        slider = explorer.controls.sliders[name]
        assert slider.min % 2 == slider.max % 2 == 0
        assert slider.step == 2


def test_without_a_kernel_the_picture_has_the_marks():
    explorer = explore_bubble(overlapped=2.2)
    bundle = explorer._repr_mimebundle_()
    assert bundle["image/png"].startswith("iVBOR")
    picture = plot_bubble(explorer.timeline, Costs(1, 1, 1, overlapped=2.2))
    assert [text.get_text() for text in picture.panels[0].texts] == ["a", "c", "c", "c"]
    assert len(picture.panels[0].patches) == 4


def test_other_schedules_and_uneven_stages_have_no_such_terms():
    with pytest.raises(ValueError, match="the terms are those of dualpipe's and dualpipe-v's bubble, not of zb-h1's"):
        bubble_terms(simulate(zb_h1(4, 8)), Costs())
    with pytest.raises(ValueError, match="all stages to cost the same; forward is one per stage"):
        bubble_terms(simulate(build("dualpipe", 4, 8)), Costs(forward=[1, 2, 3, 4]))


def test_what_is_no_costs_is_named():
    with pytest.raises(ValueError, match="costs must be Costs, such as .*; got 3"):
        bubble_terms(simulate(build("dualpipe", 4, 8)), 3)
