"""Plots: what matplotlib draws is the timeline."""

from io import BytesIO

import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from PIL import Image

from pipelab import Costs, Timeline, compare, plot, simulate
from pipelab.ir import Action
from pipelab.schedules import gpipe, interleaved_1f1b, naive, one_f_one_b
from pipelab.show import figures_table, plot_memory
from pipelab.show.palette import STYLES
from pipelab.timeline import Span


def drawn_rows(axes):
    """{rank: [(start, end), …]} of the boxes on axes, from their corners."""
    boxes = next(c for c in axes.collections if isinstance(c, PolyCollection))
    rows = {}
    for path in boxes.get_paths():
        corners = path.vertices
        rows.setdefault(round(corners[:, 1].mean()), []).append((corners[:, 0].min(), corners[:, 0].max()))
    return {rank: sorted(row) for rank, row in rows.items()}


@pytest.mark.parametrize("build", [naive, gpipe, one_f_one_b])
def test_boxes_are_the_spans(build):
    timeline = simulate(build(3, 4), Costs(1, 1, 1.5, latency=0.25))
    picture = plot(timeline)
    (axes,) = picture.panels
    spans = {}
    for span in timeline.spans:
        spans.setdefault(span.rank, []).append((span.start, span.end))
    found = drawn_rows(axes)
    assert found.keys() == spans.keys()
    assert all(np.allclose(sorted(row), found[rank]) for rank, row in spans.items())
    assert axes.get_xlim() == (0, timeline.makespan)
    assert [text.get_text() for text in picture.texts] == ["rank 0", "rank 1", "rank 2"]


def test_title_says_how_it_came_about():
    paced = Timeline.from_spans(
        [Span(0, "compute", Action("F", 0, 0), 0.0, 5.0)], "mine", source="paced", unit="ms", note="emulated link"
    )
    (axes,) = plot(paced).panels
    assert axes.get_title("left").startswith("mine · paced, emulated link · makespan 5 ms")
    assert axes.get_xlabel() == "time, ms"
    assert plot(paced, title="my own").panels[0].get_title("left") == "my own"


def test_the_legend_names_what_is_there():
    (axes,) = plot(simulate(gpipe(2, 2))).panels
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [STYLES["F"].name, STYLES["B"].name]
    (axes,) = plot(simulate(interleaved_1f1b(2, 3))).panels
    assert axes.get_title("right") == "lighter: a rank's later stages"


def test_compare_uses_one_time_axis():
    slow, quick = simulate(naive(2, 4)), simulate(gpipe(2, 4))
    upper, lower = compare(slow, quick).panels
    assert upper.get_xlim() == lower.get_xlim() == (0, slow.makespan)
    assert "-37.5 %" in lower.get_title("left")  # 24 -> 15


def test_compare_refuses_two_units():
    timeline = simulate(gpipe(2, 2))
    measured = Timeline.from_spans(timeline.spans, "gpipe", source="measured", unit="ms")
    with pytest.raises(ValueError, match=r"abstract units and ms.*\.simulated"):
        compare(timeline, measured)
    with pytest.raises(ValueError, match="two timelines"):
        compare(timeline)


def test_two_units_of_time_are_drawn_in_one():
    one, other = (simulate(gpipe(2, 2), Costs(c, c, c, unit=unit)) for c, unit in ((10_000, "us"), (10, "ms")))
    pictures = compare(one, other), plot_memory(one, other)
    for upper, lower in (picture.panels for picture in pictures):
        assert upper.get_xlim() == lower.get_xlim()
    assert pictures[0].panels[0].get_xlim() == (0, 90)
    assert [row[1:] for row in figures_table({"one": one, "other": other})][0] == ("90 ms", "90 ms")
    with pytest.raises(ValueError, match='one table can\'t show abstract units and ms: .*unit="ms"'):
        figures_table({"one": simulate(gpipe(2, 2)), "other": other})


def test_memory_shows_every_ranks_peak():
    (axes,) = plot_memory(simulate(one_f_one_b(4, 8))).panels
    assert [text.get_text() for text in axes.texts] == ["4", "3", "2", "1"]


def test_memory_of_two_is_drawn_on_one_scale():
    pictures = [plot_memory(simulate(gpipe(2, 8)), simulate(one_f_one_b(2, 8))), plot_memory(simulate(gpipe(2, 8)))]
    upper, lower = pictures[0].panels
    assert upper.get_xlim() == lower.get_xlim()
    assert [text.get_text() for text in lower.texts] == ["2", "1"]

    def height(axes, rank):
        level = axes.lines[rank].get_ydata()
        return level.max() - level.min()

    assert height(lower, 0) == pytest.approx(height(upper, 0) * 2 / 8)
    assert height(upper, 0) == pytest.approx(height(pictures[1].panels[0], 0))
    assert [axes.get_title("left").split(" ·")[0] for axes in pictures[0].panels] == ["gpipe", "1f1b"]


def test_memory_of_different_units_is_refused():
    timeline = simulate(gpipe(2, 2))
    measured = Timeline.from_spans(timeline.spans, "gpipe", source="measured", unit="ms")
    with pytest.raises(ValueError, match="one time axis can't show abstract units and ms"):
        plot_memory(timeline, measured)
    with pytest.raises(ValueError, match="at least one"):
        plot_memory()


@pytest.mark.parametrize("draw", [plot, plot_memory])
@pytest.mark.parametrize(
    "timeline",
    [
        Timeline.from_spans([], "empty", 2),
        simulate(gpipe(1, 1)),
        simulate(gpipe(40, 3)),
        simulate(gpipe(2, 2), Costs(0, 0, 0)),
    ],
    ids=["empty", "one rank", "40 ranks", "no time"],
)
def test_odd_timelines_can_be_drawn(draw, timeline):
    assert draw(timeline).png()[:8] == b"\x89PNG\r\n\x1a\n"


def test_in_a_notebook_it_is_a_picture_on_a_transparent_ground():
    data, metadata = plot(simulate(gpipe(2, 2)))._repr_mimebundle_()
    pixels = matplotlib.image.imread(BytesIO(data["image/png"]))
    assert pixels[0, 0, 3] == 0
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 10
    assert pixels.shape[1] > metadata["image/png"]["width"] > 500  # sharp on a dense screen


def test_narrow_actions_have_strokes_instead_of_numbers():
    wide, narrow = plot(simulate(gpipe(2, 2))), plot(simulate(gpipe(2, 200)))
    counts = [[len(c.get_paths()) for c in picture.panels[0].collections] for picture in (wide, narrow)]
    boxes, strokes, labels = counts[0][:3]
    assert (boxes, strokes) == (8, 0)
    assert labels > 0
    assert counts[1][:2] == [800, 400]  # every backward has its stroke
    assert len(narrow.panels[0].collections) == len(wide.panels[0].collections) - 1  # no labels


@pytest.mark.parametrize("draw", [plot, compare, plot_memory, lambda what: compare(simulate(what), what)])
def test_what_is_no_timeline_is_refused(draw):
    with pytest.raises(ValueError, match="must be a Timeline, such as .*; got a Schedule"):
        draw(gpipe(2, 2))


def test_the_png_file_has_the_pixels_that_matplotlib_draws():
    picture, file = compare(simulate(gpipe(2, 2)), simulate(naive(2, 2))), BytesIO()
    picture.savefig(file, format="png", dpi=170)
    own, others = (Image.open(BytesIO(data)) for data in (picture.png(), file.getvalue()))
    assert np.array_equal(np.asarray(own), np.asarray(others))
    assert own.info["dpi"] == others.info["dpi"] == pytest.approx((170, 170), abs=0.01)
