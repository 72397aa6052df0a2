"""A profile's picture: its boxes are the blocks, and what is exposed is marked."""

import json

import matplotlib.image
import numpy as np
import pytest
from matplotlib.collections import PolyCollection

from pipelab.cli import BAD_ARGUMENTS, OK, main
from pipelab.profiler import load_profile
from pipelab.show import plot_profile
from pipelab.show.palette import COMM, STYLES
from tests.profiler.traces import Trace, overlapped


@pytest.fixture
def profile(tmp_path):
    return load_profile(overlapped().write(tmp_path))


def rows(picture):
    """{name of the row: [(start, end)] of its boxes}."""
    (axes,) = picture.panels
    names = {text.get_position()[1]: text.get_text() for text in picture.texts}
    found = {name: [] for name in names.values()}
    for path in (path for c in axes.collections if isinstance(c, PolyCollection) for path in c.get_paths()):
        corners = path.vertices
        name = names[min(names, key=lambda tick: abs(tick - corners[:, 1].mean()))]
        found[name].append((corners[:, 0].min(), corners[:, 0].max()))
    return found


def us(found):
    return {name: [tuple(round(1000 * edge) for edge in box) for box in boxes] for name, boxes in found.items()}


def colours(picture):
    return [
        matplotlib.colors.to_hex(colour).upper()
        for c in picture.panels[0].collections
        if isinstance(c, PolyCollection)
        for colour in c.get_facecolor()
    ]


def test_boxes_are_blocks(profile):
    picture = plot_profile(profile)
    assert us(rows(picture)) == {
        "compute": [(0, 30), (30, 80), (100, 120)],
        "comm": [(10, 50), (70, 90)],
        "exposed": [(80, 90)],
    }
    (axes,) = picture.panels
    assert axes.get_xlim() == (0, profile.span)
    assert "0.05 of 0.06 ms of communication hidden" in axes.get_title("left")
    f, b = STYLES["F"].colour, STYLES["B"].colour
    assert colours(picture)[:5] == [f, b, b, f, b]
    meanings = [STYLES["F"].name, STYLES["B"].name, "communication that nothing hides"]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == meanings
    assert {text.get_text() for text in axes.texts} >= {"attn(F)", "mlp(B)", "dispatch(F)"}


def test_a_part_of_it(profile):
    picture = plot_profile(profile, begin=0.02, end=0.07, title="a part")
    (axes,) = picture.panels
    assert axes.get_xlim() == (0.02, 0.07)
    assert axes.get_title("left") == "a part"
    assert us(rows(picture))["compute"] == [(0, 30), (30, 80)]
    for begin, end in ((0.05, 0.05), (0.1, 0.05), (-1, 0.05)):
        with pytest.raises(ValueError, match="begin and end must be in order, from 0 to 0.12 ms; got"):
            plot_profile(profile, begin=begin, end=end)


def test_what_overlaps_on_a_row_is_side_by_side(tmp_path):
    trace = Trace()
    for stream in (7, 8):
        trace.annotation(f"part {stream}", stream, 1)
        trace.kernel("gemm", 10 * (stream - 7), 50, stream, launched=stream)
    (axes,) = plot_profile(load_profile(trace.write(tmp_path))).panels
    one, two = next(c for c in axes.collections if isinstance(c, PolyCollection)).get_paths()
    assert one.vertices[:, 1].max() == pytest.approx(two.vertices[:, 1].min())


def test_rows_of_several_devices(tmp_path):
    trace = Trace()
    for device in (0, 1):
        trace.kernel("gemm", 0, 10, 7, device)
    trace.kernel("ncclKernel", 5, 10, 20, 1)
    trace.kernel("Memcpy HtoD (Pinned -> Device)", 0, 5, 9, 1)
    found = us(rows(plot_profile(load_profile(trace.write(tmp_path)))))
    assert found == {
        "0 compute": [(0, 10)],
        "1 compute": [(0, 10)],
        "1 comm": [(5, 15)],
        "1 copy": [(0, 5)],
        "1 exposed": [(10, 15)],
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("attn(F)", "F"),
        ("forward", "F"),
        ("FWD step 3", "F"),
        ("mlp(B)", "B"),
        ("Backward", "B"),
        ("mlp(W)", "W"),
        ("layer 2 (I)", "I"),
        ("optimizer", None),
        ("(Fine)", None),
    ],
)
def test_colours_by_name(tmp_path, name, kind):
    trace = Trace()
    trace.annotation(name, 0, 9)
    trace.kernel("gemm", 20, 10, launched=1)
    trace.kernel("ncclKernel", 20, 10, 20, launched=1)
    compute, comm, *_ = colours(plot_profile(load_profile(trace.write(tmp_path))))
    assert comm == STYLES[kind or COMM].colour
    coloured = {style.colour for style in STYLES.values() if style.name}
    assert compute == STYLES[kind].colour if kind else compute not in coloured


def test_readable_on_light_and_on_dark(profile):
    """The ground is transparent; the ink is far from white and from black."""
    picture = plot_profile(profile)
    assert picture.get_facecolor()[3] == picture.panels[0].get_facecolor()[3] == 0
    (axes,) = picture.panels
    inks = [axes.title.get_color(), axes.xaxis.label.get_color(), *(t.get_color() for t in picture.texts)]
    inks += [text.get_color() for text in axes.get_legend().get_texts()]
    for ink in inks:
        assert 0.3 < np.mean(matplotlib.colors.to_rgb(ink)) < 0.7 or ink == "black"  # the centred title, which is empty
    assert axes.get_title() == ""


def test_an_empty_profile_is_an_empty_picture(tmp_path):
    trace = Trace()
    trace.annotation("attn(F)", 0, 9)
    assert plot_profile(load_profile(trace.write(tmp_path))).png().startswith(b"\x89PNG")


# -- on the command line -----------------------------------------------------------------------------------------------


def test_the_command(tmp_path, capsys):
    path = overlapped().write(tmp_path)
    assert main(["profile", str(path), "--plot", str(tmp_path / "out.png")]) == OK
    assert capsys.readouterr().out == f"{load_profile(path)}\n"
    image = matplotlib.image.imread(tmp_path / "out.png")
    assert image.shape[1] > 1000
    assert image[..., 3].max() == 1
    assert main(["profile", str(path), "--json"]) == OK
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(load_profile(path).summary()))


@pytest.mark.parametrize(("content", "said"), [(None, "No such file"), ("{}", "is no trace: it is JSON, but holds no")])
def test_the_command_on_what_is_no_trace(tmp_path, capsys, content, said):
    path = tmp_path / "trace.json"
    if content is not None:
        path.write_text(content)
    assert main(["profile", str(path)]) == BAD_ARGUMENTS
    assert said in capsys.readouterr().err
