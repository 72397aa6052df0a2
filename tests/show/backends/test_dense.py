"""Dense charts: in pixels, what each of them holds; in a file without pixels, every box."""

from io import BytesIO

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from pipelab import Timeline, plot, simulate
from pipelab.ir import Action
from pipelab.schedules import dualpipe, gpipe, zb_v
from pipelab.show.backends.dense import DenseBoxes
from pipelab.show.palette import STYLES
from pipelab.timeline import Span


def pixels(picture) -> np.ndarray:
    """Of its only panel, from the top downwards, with an alpha from 0 to 1."""
    drawn = np.asarray(Image.open(BytesIO(picture.png()))) / 255
    (axes,) = picture.panels
    left, low, right, high = np.array(axes.bbox.extents) * len(drawn) / picture.bbox.height
    return drawn[round(len(drawn) - high) : round(len(drawn) - low), int(left) : int(np.ceil(right))]


def row(picture, rank: int, at: float = 0.5) -> np.ndarray:
    """One line of pixels within a rank's row."""
    found = pixels(picture)
    height = len(found) / (abs(np.diff(picture.panels[0].get_ylim()))[0])
    return found[int(height * (rank + at))]


@pytest.mark.parametrize("schedule", [gpipe(2, 700), zb_v(4, 300)], ids=lambda each: each.name)
def test_a_row_has_every_colour_for_as_long_as_it_lasts(schedule):
    timeline = simulate(schedule)
    picture = plot(timeline)
    assert any(isinstance(artist, DenseBoxes) for artist in picture.panels[0].artists)
    line = row(picture, 1, 0.3)
    times = {rank: timeline.busy[rank] / timeline.makespan for rank in range(timeline.num_ranks)}
    assert line[:, 3].mean() == pytest.approx(times[1], abs=2 / len(line))
    if schedule.name == "gpipe":  # each kind has one colour
        forward, backward = (np.array(to_rgb(STYLES[kind].colour)) for kind in "FB")
        expected = forward / 3 + backward * 2 / 3
        opaque = line[:, 3] > 0.99
        assert np.allclose(line[opaque, :3].mean(axis=0), expected, atol=0.02)


def test_an_action_among_many_others_is_where_it_was():
    spans = [Span(0, "compute", Action("F", 0, m), m, m + 1) for m in range(1000)]
    spans[600] = spans[600]._replace(action=Action("B", 0, 600))
    line = row(plot(Timeline.from_spans(spans, "one B")), 0)
    blue = line[1:-1, 2]  # the outermost pixels are not covered in full
    assert blue.argmin() == pytest.approx(600.5 / 1000 * len(line), abs=2)
    assert (blue < blue.max() - 0.02).sum() <= 3


def test_pairs_have_their_forward_above():
    line = [row(plot(simulate(dualpipe(2, 600))), 0, at) for at in (0.3, 0.7)]
    middle = slice(len(line[0]) // 3, len(line[0]) // 2)
    assert line[0][middle, 2].mean() > line[1][middle, 2].mean() + 0.1  # forwards are blue


@pytest.mark.parametrize("format", ["svg", "pdf"])
def test_a_file_without_pixels_has_every_box(format):
    sizes = []
    for microbatches in (600, 1200):
        file = BytesIO()
        plot(simulate(gpipe(2, microbatches))).savefig(file, format=format)
        sizes.append(len(file.getvalue()))
        assert b"<image" not in file.getvalue()
    assert sizes[1] > 1.5 * sizes[0]


def test_few_actions_are_drawn_one_by_one():
    (axes,) = plot(simulate(gpipe(4, 8))).panels
    assert not axes.artists
