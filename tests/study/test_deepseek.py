"""DeepSeek's figures: the table, what is derived from it, and how it is made from a trace."""

import csv
import re
from pathlib import Path

import pytest

from pipelab import Costs, load_profile
from pipelab.study.deepseek import FILE, distil, phases
from tests.profiler.traces import Trace

DATA = Path(__file__).parents[2] / "data"


def test_the_table_is_the_file():
    with (DATA / FILE).open() as file:
        rows = [[str(value) for value in row.values()] for row in csv.DictReader(file)]
    assert [[str(value) for value in phase] for phase in phases()] == rows


def test_phases_make_sense():
    found = phases()
    assert found == sorted(found, key=lambda phase: (phase.start, phase.end))
    for phase in found:
        assert phase.union <= phase.busy
        assert phase.union <= phase.end - phase.start
        assert phase.kernels > 0
    for role in ("compute", "comm"):  # one phase after the other
        mine = [phase for phase in found if phase.role == role]
        assert all(before.end <= after.start for before, after in zip(mine, mine[1:], strict=False))


def test_the_order_on_both_streams():
    """In which DeepSeek interleaves a forward's layer and a backward's, four times over."""
    compute = [f"{phase.block}({phase.direction})" for phase in phases() if phase.role == "compute"]
    assert compute == ["attn(F)", "mlp(B)", "mlp(W)", "mlp(F)", "attn(B)", "attn(W)"] * 4
    comm = [f"{p.block.split(':')[0]}({p.direction})" for p in phases() if p.block.endswith(":a2a")]
    assert comm == ["combine(B)", "dispatch(F)", "dispatch(B)", "combine(F)"] * 4
    assert [p.layer for p in phases() if (p.block, p.direction) == ("attn", "F")] == [0, 1, 2, 3]
    assert [p.layer for p in phases() if (p.block, p.direction) == ("attn", "B")] == [3, 2, 1, 0]


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
    waits = sum(phase.union for phase in phases() if phase.block.endswith(":notify")) / 1000
    assert f"{waits:.3f} ms in all" in text


def _backward():
    return "backward_input", "backward_input_comm", "backward_weight"


NAMES = {
    "prep": "per_token_cast_to_fp8",
    "notify": "dpsk::ep::internode::notify_dispatch<false>",
    "a2a": "dpsk::ep::internode::combine<false>",
}


def test_the_table_comes_out_of_a_trace_again(tmp_path):
    """A trace with these phases, launched in DeepSeek's annotations, one kernel for each stretch of work."""
    trace, found = Trace(), phases()
    launched = 0
    occurrences = dict.fromkeys((p.block.split(":")[0], p.direction, p.layer) for p in found)
    for block, direction, layer in occurrences:
        trace.annotation(f"{block}({direction})", launched, 100)
        for phase in found:
            base, _, kind = phase.block.partition(":")
            if (base, phase.direction, phase.layer) == (block, direction, layer):
                name, stream = (NAMES[kind], 27) if kind else ("gemm", 7)
                for start, end, on in stretches(phase, stream):
                    trace.kernel(name, start, end - start, on, launched=launched + 50)
        launched += 100
    trace.kernel("gemm", 0, 10, 7)  # and what no annotation launched
    again = distil(load_profile(trace.write(tmp_path)))
    assert [phase[:-1] for phase in again] == [phase[:-1] for phase in found]  # all but how many kernels


def stretches(phase, stream):
    """(start, end, stream) with that start, end, busy and union: two streams where they are needed."""
    first = phase.start + phase.union
    twice = phase.busy - phase.union
    if first == phase.end:
        yield phase.start, phase.end, stream
    else:
        yield phase.start, first - 1, stream
        yield phase.end - 1, phase.end, stream
    if twice:
        yield phase.start, phase.start + twice, 23
