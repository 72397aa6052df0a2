"""Table: what it shows in each of its three forms, and what it keeps."""

import math
import pickle
import subprocess
import sys
from dataclasses import dataclass
from fractions import Fraction
from html.parser import HTMLParser
from typing import NamedTuple

import numpy as np
import pytest
import torch

from pipelab.table import Table


class Cells(HTMLParser):
    """The texts, tags and attributes of a table's cells, row by row, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows, self.tags, self.titles, self.open = [], [], {}, []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.open.append(tag)
        given = dict(attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
            self.tags.append((tag, given.get("scope")))
            self.last = given.get("title")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("th", "td"):
            self.rows[-1][-1] += data
            self.titles[data] = self.last


def test_figures_stand_right_and_text_left_under_their_names():
    table = Table([("gpipe", 33, 0.25), ("1f1b", 1331.25, 1 / 3)], ["schedule", "makespan", "bubble"])
    assert str(table) == "schedule  makespan  bubble\ngpipe           33    0.25\n1f1b          1331  0.3333"
    assert repr(table) == str(table)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123456789, "123456789"),
        (33.0, "33"),
        (22.799999, "22.8"),
        (12345.6, "12346"),
        (1e20, "1e+20"),
        (0.00001234, "1.234e-05"),
        (Fraction(9, 2), "4.5"),
        (Fraction(9, 1), "9"),
        (None, ""),
        (True, "yes"),
        (np.False_, "no"),
        (math.nan, "–"),
        (-math.inf, "-∞"),
        (np.float32(0.5), "0.5"),
        (torch.tensor(7), "7"),
        ((4, 3.5, None), "4 3.5 "),
        (np.arange(4).reshape(2, 2), "0 1 · 2 3"),
        ("<&>", "<&>"),
    ],
)
def test_default_format(value, text):
    assert Table([{"value": value}]).to_markdown().splitlines()[-1] == f"| {text.replace('<', chr(92) + '<')} |"


def test_formats_are_specs_templates_or_functions_of_a_column_or_a_row():
    rows = [("a", Fraction(1, 4), (1, 2)), ("b", None, "-"), ("c", math.nan, [3])]
    table = Table(rows, ["", "share", "ms"], formats={"share": ".0%", "ms": "{:.1f}", "c": lambda value: f"<{value}>"})
    assert str(table).splitlines()[1:] == ["a    25%  1.0 2.0", "b         -", "c  <nan>  <[3]>"]
    assert str(Table({"bubble": 0.25, "ms": 20}, formats={"bubble": ".1%"})) == "bubble  25.0%\nms         20"


def test_rows_may_be_mappings_sequences_arrays_named_tuples_and_objects():
    class Point(NamedTuple):
        x: int
        y: int

    @dataclass
    class Named:
        x: int
        y: int
        z: int = 0

    wanted = str(Table([[1, 2], [3, 4]], ["x", "y"]))
    for rows in ([Point(1, 2), Point(3, 4)], [{"x": 1, "y": 2}, {"y": 4, "x": 3}]):
        assert str(Table(rows)) == wanted
    for rows in (np.array([[1, 2], [3, 4]]), iter([(1, 2), (3, 4)]), [Named(1, 2), Named(3, 4)]):
        assert str(Table(rows, ["x", "y"])) == wanted
    table = Table([Point(1, 2)], {"sum": lambda point: point.x + point.y})
    assert (str(table), table[0], table.column("sum")) == ("sum\n  3", Point(1, 2), (3,))
    assert Table([{"a": 1}, {"b": 2}]).column("b") == (None, 2)
    assert str(Table([{"V": "a", 4: 1, 8: 2}], formats={"8": ".1f"})) == "V  4    8\na  1  2.0"


def test_values_stay_as_they_were_given():
    rows = [{"name": "a", "value": Fraction(1, 3)}, {"name": "b", "value": None}]
    table = Table(rows, meanings={"value": "a third"}, emphasis=[-1])
    assert list(table) == rows and len(table) == 2 and table[-1] is rows[1] and table["b"] is rows[1]
    assert table[:1] == (rows[0],)
    assert table.column("value") == (Fraction(1, 3), None)
    assert str(pickle.loads(pickle.dumps(table))) == str(table)
    with pytest.raises(KeyError):
        table["c"]
    with pytest.raises(AttributeError):
        table.rows = ()


def test_text_has_title_notes_marks_and_cells_of_several_lines_and_is_never_wrapped():
    table = Table([("a", "one\ntwo", 1), ("宽", "x" * 300, 22)], title="Title", notes=["note"], emphasis=[0])
    first, second, third = (f"a   {'one':300}   1  ←", "    two", f"宽  {'x' * 300}  22")
    assert str(table).splitlines() == ["Title", first, second, third, "note"]


def test_html_can_be_read_by_browsers_and_screen_readers():
    table = Table(
        [("<b>", "a & b"), ("plain", 2)],
        ["name", "n<1"],
        meanings={"name": 'who "it" is', "<b>": "bold"},
        title="<t>",
        notes=["<n>"],
    )
    html = table._repr_html_()
    cells = Cells(html)
    assert cells.rows == [["name", "n<1"], ["<b>", "a & b"], ["plain", "2"]]
    assert cells.tags == [("th", "col")] * 2 + [("th", "row"), ("td", None)] * 2
    assert (cells.titles["name"], cells.titles["<b>"], cells.titles["plain"]) == ('who "it" is', "bold", None)
    assert "&lt;t&gt;</caption>" in html and "<div>&lt;n&gt;</div>" in html


def test_html_fits_light_and_dark_pages_and_shows_cells_that_show_themselves():
    class Chip:
        def _repr_html_(self) -> str:
            return "<i>chip</i>"

        def __str__(self) -> str:
            return "chip"

    table = Table([("x", Chip()), ("y", "z")], emphasis=lambda row: row[0] == "y")
    html = table._repr_html_()
    assert "<i>chip</i>" in html and "chip" in str(table) and "<thead>" not in html
    assert html.count("<tr style=") == 1 and "#" not in html  # no colour that only one theme can bear


def test_markdown():
    table = Table([("a|b", 1), ("c\nd", 2)], ["zb_h1", "n"], title="T", notes=["n*"], emphasis=[1])
    wanted = ["**T**", "", r"| zb\_h1 | n |", "| :-- | --: |", r"| a\|b | 1 |", "| **c<br>d** | **2** |", "", r"n\*"]
    assert table.to_markdown().splitlines() == wanted


def test_alignment_follows_the_values_unless_told():
    assert str(Table([("1f1b", None), ("x", 100)], ["name", "n"])).splitlines()[1:] == ["1f1b", "x     100"]
    told = Table([(1, "a"), ("all", "b")], ["layer", "b"], align={"layer": "right"})
    assert str(told).splitlines()[1:] == ["    1  a", "  all  b"]


def test_empty_tables_say_what_there_is():
    assert str(Table([])) == "" and str(Table([], ["a", "b"], notes=["none"])) == "a  b\nnone"
    assert Cells(Table([], ["a"])._repr_html_()).rows == [["a"]]
    assert str(Table({})) == ""


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Table([(1, 2), (1,)]),
        lambda: Table([(1, 2)], ["a"]),
        lambda: Table([{"a": 1}], ["b"]),
        lambda: Table([{"a": 1}], formats={"b": ".1f"}),
        lambda: Table([{"a": 1}], align={"b": "left"}),
        lambda: Table(["text"]),
        lambda: Table([{"a": 1}]).column("b"),
    ],
)
def test_what_does_not_fit_is_refused(wrong):
    with pytest.raises(ValueError):
        wrong()


def test_it_needs_the_standard_library_only():
    program = "import runpy, sys; runpy.run_path('pipelab/table.py'); print(*{'numpy', 'torch'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"
