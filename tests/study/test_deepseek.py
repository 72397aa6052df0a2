"""How DeepSeek's figures are distilled from a trace."""

from pipelab.profiler import load_profile
from pipelab.simulator.deepseek_segments import recorded_segments
from pipelab.study.deepseek import distil
from tests.profiler.traces import Trace

NAMES = {
    "prep": "per_token_cast_to_fp8",
    "notify": "dpsk::ep::internode::notify_dispatch<false>",
    "a2a": "dpsk::ep::internode::combine<false>",
}


def test_the_table_comes_out_of_a_trace_again(tmp_path):
    """A trace with these segments, launched in DeepSeek's annotations, one kernel for each stretch of work."""
    trace, found = Trace(), recorded_segments()
    launched = 0
    occurrences = dict.fromkeys((p.block.split(":")[0], p.direction, p.layer) for p in found)
    for block, direction, layer in occurrences:
        trace.annotation(f"{block}({direction})", launched, 100)
        for segment in found:
            base, _, kind = segment.block.partition(":")
            if (base, segment.direction, segment.layer) == (block, direction, layer):
                name, stream = (NAMES[kind], 27) if kind else ("gemm", 7)
                for start, end, on in stretches(segment, stream):
                    trace.kernel(name, start, end - start, on, launched=launched + 50)
        launched += 100
    trace.kernel("gemm", 0, 10, 7)  # and what no annotation launched
    again = distil(load_profile(trace.write(tmp_path)))
    assert [segment[:-1] for segment in again] == [segment[:-1] for segment in found]  # all but how many kernels


def stretches(segment, stream):
    """(start, end, stream) with that start, end, busy and union: two streams where they are needed."""
    first = segment.start + segment.union
    twice = segment.busy - segment.union
    if first == segment.end:
        yield segment.start, segment.end, stream
    else:
        yield segment.start, first - 1, stream
        yield segment.end - 1, segment.end, stream
    if twice:
        yield segment.start, segment.start + twice, 23
