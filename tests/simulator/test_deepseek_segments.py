"""DeepSeek's figures: the table, and the costs that are derived from it."""

import csv
import re
from pathlib import Path

import pytest

from pipelab import Costs
from pipelab.simulator.deepseek_segments import FILE, recorded_segments

DATA = Path(__file__).parents[2] / "data"


def test_the_table_is_the_file():
    with (DATA / FILE).open() as file:
        rows = [[str(value) for value in row.values()] for row in csv.DictReader(file)]
    assert [[str(value) for value in segment] for segment in recorded_segments()] == rows


def test_segments_make_sense():
    found = recorded_segments()
    assert found == sorted(found, key=lambda segment: (segment.start, segment.end))
    for segment in found:
        assert segment.union <= segment.busy
        assert segment.union <= segment.end - segment.start
        assert segment.kernels > 0
    for role in ("compute", "comm"):  # one segment after the other
        mine = [segment for segment in found if segment.role == role]
        assert all(before.end <= after.start for before, after in zip(mine, mine[1:], strict=False))


def test_the_order_on_both_streams():
    """In which DeepSeek interleaves a forward's layer and a backward's, four times over."""
    compute = [f"{segment.block}({segment.direction})" for segment in recorded_segments() if segment.role == "compute"]
    assert compute == ["attn(F)", "mlp(B)", "mlp(W)", "mlp(F)", "attn(B)", "attn(W)"] * 4
    comm = [f"{p.block.split(':')[0]}({p.direction})" for p in recorded_segments() if p.block.endswith(":a2a")]
    assert comm == ["combine(B)", "dispatch(F)", "dispatch(B)", "combine(F)"] * 4
    assert [p.layer for p in recorded_segments() if (p.block, p.direction) == ("attn", "F")] == [0, 1, 2, 3]
    assert [p.layer for p in recorded_segments() if (p.block, p.direction) == ("attn", "B")] == [3, 2, 1, 0]


def test_costs_as_deepseek_measured_them():
    """In ms, to the tenth, as they can be read off the published trace."""
    costs = Costs.deepseek_v3()
    assert [round(value, 1) for value in costs.split("F", 0)] == [35.9, 41.8]
    assert [round(value, 1) for value in costs.split("I", 0)] == [58.6, 40.2]
    assert [round(value, 1) for value in costs.split("W", 0)] == [29.8, 0]
    assert round(costs.duration("F", 0) + costs.duration("B", 0), 1) == 206.2
    assert round(costs.pair(0, "B", 0), 1) == 129.0
    assert costs.communicates


def test_the_readme_says_what_the_costs_are():
    costs = Costs.deepseek_v3()
    text = (DATA / "README.md").read_text()
    said = {name: float(value) for name, value in re.findall(r"^\| ([\w +]+?) \| ([\d.]+) \|", text, re.MULTILINE)}
    serial = said.pop("F + B one after the other")
    assert serial == pytest.approx(costs.duration("F", 0) + costs.duration("B", 0))
    assert said == {name: pytest.approx(getattr(costs, name)) for name in said}
    assert {*said, "overlapped"} == {"forward", "forward_comm", *_backward(), "overlapped"}
    waits = sum(segment.union for segment in recorded_segments() if segment.block.endswith(":notify")) / 1000
    assert f"{waits:.3f} ms in all" in text


def _backward():
    return "backward_input", "backward_input_comm", "backward_weight"
