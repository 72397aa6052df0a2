"""What lies over a picture: hovering explains actions and gaps, the cursor shows a time, and words say the same."""

import re
from xml.etree import ElementTree

import pytest

from pipelab import Costs, Timeline, simulate
from pipelab.schedules import dualpipe, gpipe, one_f_one_b
from pipelab.show import explore_schedule
from pipelab.show.backends.svg import cursor_svg, timeline_svg
from pipelab.show.explore.hover import hover_svg
from pipelab.show.explore.state_at import state_at


def texts(svg: str) -> list[str]:
    return [text.text for text in ElementTree.fromstring(svg).iter() if text.tag.endswith("text")]


def test_every_action_and_every_gap_explains_itself():
    timeline = simulate(one_f_one_b(4, 8), Costs(1, 1, 1.5, latency=0.2))
    layer = hover_svg(timeline)
    said = texts(layer)
    assert len(said) == len(timeline) + len(timeline.gaps())
    assert {gap.reason for gap in timeline.gaps()} <= {text.split(", from ")[0] for text in said}
    small = simulate(gpipe(2, 2))
    assert "1F1 on rank 1, from 2 to 3 · needed 0F1 (rank 0) · unblocked 1B1" in texts(hover_svg(small))
    assert "rank 0 waits for 1B0 from rank 1, from 2 to 5" in texts(hover_svg(small))


def test_a_pair_names_what_both_its_parts_needed_once():
    said = next(text for text in texts(hover_svg(simulate(dualpipe(4, 8)))) if text.startswith("(1F3;2B5)"))
    assert said.endswith("needed (0F3;3B5)OVERLAP_F_B (rank 0), 2F5 · unblocked 1I3, (2F3;1B5)OVERLAP_F_B (rank 2)")


def test_boxes_of_the_layer_lie_on_those_of_the_picture():
    timeline = simulate(one_f_one_b(3, 4))
    for until in (None, 40):
        rects = [r for r in ElementTree.fromstring(hover_svg(timeline, until)).iter() if r.tag.endswith("rect")]
        layer = sorted((float(r.get("x")), float(r.get("y"))) for r in rects)
        drawn = re.findall(r"M([\d.]+) ([\d.]+)h", timeline_svg(timeline, title="x", until=until))
        picture = {tuple(map(float, corner)) for corner in drawn}
        assert len([corner for corner in layer if corner in picture]) >= len(timeline)


def test_marks_are_where_the_needs_are():
    timeline = simulate(gpipe(2, 1))
    root = ElementTree.fromstring(hover_svg(timeline))
    groups = {g[-1].text: g for g in root if g.tag.endswith("g")}
    last = groups["0B0 on rank 0, from 4 to 6 · needed 0F0, 1B0 (rank 1)"]
    corners = re.findall(r"M([\d.]+) ([\d.]+)", last[1].get("d"))
    rects = {text: (g[0].get("x"), g[0].get("y")) for text, g in groups.items()}
    needed = [place for text, place in rects.items() if text.startswith(("0F0 on", "1B0 on"))]
    assert sorted(corners) == sorted(needed)


def test_cursor_is_at_its_time():
    timeline = simulate(gpipe(2, 2))
    places = [float(re.search(r'path d="M([\d.]+)', cursor_svg(timeline, time, 18))[1]) for time in (0, 9, 18)]
    assert places == pytest.approx([58, 58 + 441, 940])


def test_words_for_a_moment():
    timeline = simulate(one_f_one_b(2, 2))  # 0F0 0F1 · 0B0 …, 1F0 1B0 1F1 1B1
    assert state_at(timeline, 2.5) == [
        "rank 0 waits for 1B0 from rank 1 and holds 2 activations",
        "rank 1 does 1B0 and holds 1 activation",
    ]
    assert state_at(timeline, float(timeline.makespan))[1] == "rank 1 has done all its work and holds 0 activations"
    assert state_at(Timeline.from_spans([], "empty", 1), 0) == ["rank 0 has done all its work and holds 0 activations"]


def test_the_explorer_explains_when_it_rests(monkeypatch):
    monkeypatch.setattr("pipelab.show.explore.schedule_explorer._REST", 1000)  # not by itself, while this test looks
    explorer = explore_schedule()
    assert explorer.predicted.layer.value == ""
    explorer.explain()
    assert "waits for" in explorer.predicted.layer.value
    explorer.controls.sliders["microbatches"].value = 9
    assert explorer.predicted.layer.value == ""  # no words of another picture


def test_the_time_slider_moves_the_cursor_and_tells():
    explorer = explore_schedule(against="gpipe")
    assert explorer.state.value == explorer.predicted.cursor.value == ""
    explorer.time.value = 50
    first, first_cursor = explorer.state.value, explorer.predicted.cursor.value
    assert "rank 0" in first
    assert 'aria-live="polite"' in first
    explorer.time.value = 51
    assert explorer.predicted.cursor.value not in ("", first_cursor)
    assert explorer.against.cursor.value != ""
    explorer.time.value = 0
    assert explorer.predicted.cursor.value == ""


def test_two_schedules_share_one_time_axis():
    explorer = explore_schedule("1f1b", against="naive")
    assert explorer.compared.makespan > explorer.timeline.makespan
    axes = [re.findall(r'y="162">([\d.]+)<', panel.picture.value) for panel in (explorer.predicted, explorer.against)]
    assert axes[0] == axes[1]
    assert explorer.table.value.count('<th scope="col"') == 2
    explorer.controls.against.value = "nothing"
    assert explorer.against.picture.value == ""
    assert explorer.compared is None
