"""Phases and overlap: whatever the order in which a forward and a backward take turns, they compute the same."""

from __future__ import annotations

import copy
import random
import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor, nn

from pipelab.ir import ORDERS, SegmentOrder, all_orders
from pipelab.moe import ExpertGroup, MoEBlock
from pipelab.overlap.interleave import SegmentedPass, run_segments
from pipelab.overlap.segmented import Exchange, Segmented, SegmentedSequence, Segments, carrying
from pipelab.overlap.streams import Link, Streams
from pipelab.ranks import Ranks

WIDTH = 4


class Around(Segmented):
    """Sends its rows around, with what it carries: nobody else is there."""

    exchanges = 2

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(WIDTH, WIDTH) for _ in range(3))

    def segments(self, x: Tensor) -> Segments:
        y = self.first(x).tanh()
        rows, y, number = yield Exchange("there", y, [len(y)], [len(y)], carry=(y * x, torch.arange(len(x))))
        rows = self.second(rows).tanh()
        rows, y = yield Exchange("back", rows, [len(y)], [len(y)], carry=(y + number[:, None],), segment="middle")
        return self.third(rows * y)


class Residual(Segmented):
    def __init__(self) -> None:
        super().__init__()
        self.inside = Around()

    def segments(self, x: Tensor) -> Segments:
        y, x = yield from carrying(self.inside.segments(x), x)
        return x + y


def stage() -> SegmentedSequence:
    torch.manual_seed(0)
    return SegmentedSequence(nn.Linear(WIDTH, WIDTH), Around(), nn.Tanh(), Residual(), nn.Linear(WIDTH, WIDTH)).double()


def rows(seed: int) -> Tensor:
    return torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradients(module: nn.Module) -> list[Tensor]:
    found = [p.grad.clone() for p in module.parameters() if p.grad is not None]
    assert len(found) == len([*module.parameters()])
    return found


def same(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(torch.allclose(x, y, rtol=0, atol=1e-13) for x, y in zip(a, b, strict=True))


def pair(
    before: SegmentedPass, gradient: Tensor, after: SegmentedPass, x: Tensor, order: str = "deepseek", **how: bool
) -> tuple[Tensor | None, Tensor]:
    before.begin_backward(gradient)
    after.begin(x)
    run_segments(SegmentOrder.of(order), forward=after, backward=before, **how)
    return before.gradient, after.output


@pytest.mark.parametrize("apart", [False, True])
def test_a_pair_computes_what_autograd_does(apart: bool) -> None:
    plain, module = stage(), stage()
    x, y = rows(1).requires_grad_(), rows(2).requires_grad_()
    outputs = [plain(x), plain(y)]
    for output in outputs:
        output.backward(rows(3))
    streams = Streams()
    before, after = SegmentedPass(module, streams), SegmentedPass(module, streams)
    first = before.forward(rows(1))
    dx, second = pair(before, rows(3), after, rows(2), weights=not apart)
    dy = after.backward(rows(3), weights=not apart)
    if apart:
        assert all(p.grad is None for p in module.parameters())
        before.weight_gradients()
        after.weight_gradients()
    assert same([first, second, dx, dy], [outputs[0].detach(), outputs[1].detach(), x.grad, y.grad])
    assert same(gradients(module), gradients(plain))
    assert not before.early


EVERY_KIND = [*ORDERS.values(), *(SegmentOrder(order) for order in [*all_orders()][::60])]


@pytest.mark.parametrize("order", EVERY_KIND, ids=str)
@pytest.mark.parametrize("layers", [1, 2])
def test_each_stream_does_exactly_what_the_order_says(order: SegmentOrder, layers: int) -> None:
    """Layer by layer, the backward downwards. DeepSeek's is what the published trace shows."""
    module = SegmentedSequence(*(MoEBlock(8, 2, hidden=8, num_experts=2, top_k=1) for _ in range(layers)))
    streams = Streams()
    before, after = SegmentedPass(module, streams), SegmentedPass(module, streams)
    x = torch.ones(1, 3, 8)
    before.forward(x)
    streams.spans.clear()
    pair(before, x, after, x, order)
    for stream, communicates in (("compute", False), ("comm", True)):
        did = [f"{span.name}({span.direction})" for span in streams.spans if span.stream == stream]
        asked = [str(segment) for segment in order.segments if segment.communicates == communicates]
        assert [name for name in did if not name.startswith("sum")] == layers * asked


def test_an_order_of_the_whole_stage_runs_and_moves_work_between_layers() -> None:
    """Layer 1's attention(W) waits until layer 0's backward is over."""
    first, second = (
        [s._replace(layer=n if s.direction == "F" else 1 - n) for s in ORDERS["deepseek"].segments] for n in (0, 1)
    )
    late = first.pop()
    order = SegmentOrder((*first, *second, late), "late")
    module = SegmentedSequence(*(MoEBlock(8, 2, hidden=8, num_experts=2, top_k=1, seed=n) for n in range(2)))
    streams, x = Streams(), torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0))
    before, after = SegmentedPass(module, streams), SegmentedPass(module, streams)
    before.forward(x)
    streams.spans.clear()
    pair(before, x, after, x, order)
    weights = [span.name for span in streams.spans if span.direction == "W" and span.name != "sum"]
    assert weights == ["experts", "experts", "attention", "attention"]
    found = gradients(module)
    plain = copy.deepcopy(module)
    plain.zero_grad()
    plain(x).backward(x)
    assert all(torch.allclose(a, b) for a, b in zip(found, gradients(plain), strict=True))


def test_a_loss_at_the_end_and_token_ids_at_the_start() -> None:
    class Loss(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x**2).mean()

    embedding, module = nn.Embedding(5, WIDTH).double(), stage()
    whole = SegmentedSequence(embedding, module)
    ids = torch.tensor([1, 4, 1])
    expected = Loss()(copy.deepcopy(whole)(ids))
    plain = copy.deepcopy(whole)
    Loss()(plain(ids)).backward()
    chunk = SegmentedPass(whole, Streams())
    loss = chunk.forward(ids, finish=Loss())
    assert torch.equal(loss, expected.detach())
    assert chunk.backward(None) is None
    assert same(gradients(whole), gradients(plain))


def test_inference_keeps_nothing() -> None:
    chunk = SegmentedPass(stage(), Streams(), training=False)
    output = chunk.forward(rows(1))
    assert same([output], [stage()(rows(1)).detach()])
    assert not any(segment.end.requires_grad for segment in chunk.segments)


def test_what_is_not_carried_is_noticed() -> None:
    class Forgets(Around):
        def segments(self, x: Tensor) -> Segments:
            y = self.first(x)
            (rows,) = yield Exchange("there", y, [len(y)], [len(y)])
            return self.second(rows) + y

    with pytest.raises(ValueError, match="Forgets's segment before the end uses a tensor of an earlier segment"):
        SegmentedPass(Forgets().double(), Streams()).forward(rows(1))


def test_exchanges_that_were_not_declared() -> None:
    class Counts(Around):
        pass

    for declared, yields in ((3, "2"), (1, "more"), (0, "more")):
        Counts.exchanges = declared
        with pytest.raises(ValueError, match=f"Counts declares {declared} exchanges, but its segments yield {yields}:"):
            SegmentedPass(Counts().double(), Streams()).forward(rows(1))


@pytest.mark.parametrize(
    ("send", "receive", "width", "message"),
    [
        ([[1, 2], [1, 2]], [[1, 1], [1, 2]], (4, 4), "there: rank 0 sends 2 rows to rank 1, which expects 1"),
        ([[1, 2], [1, 3]], [[1, 1], [2, 3]], (4, 4), r"there: rank 1 of 2 sends \[1, 3\] of 3 rows"),
        ([[1, 2], [1, 2]], [[1, 1, 0], [2, 2]], (4, 4), "one number per rank"),
        ([[1, 2], [1, 2]], [[1, 1], [2, 2]], (4, 5), "there: rank . has rows of"),
    ],
)
def test_ranks_that_disagree_on_what_they_send(send, receive, width, message) -> None:
    class Disagrees(Segmented):
        exchanges = 1

        def segments(self, x: Tensor) -> Segments:
            rank = torch.distributed.get_rank()
            group = torch.distributed.group.WORLD
            (x,) = yield Exchange("there", torch.ones(3, width[rank]), send[rank], receive[rank], group)
            return x

    def forward(ctx: Any) -> None:
        SegmentedPass(Disagrees(), Streams()).forward(torch.ones(3, 4))

    with pytest.raises(ValueError, match=message):
        Ranks(2).run(forward, timeout=30)


def test_a_module_without_segments() -> None:
    with pytest.raises(NotImplementedError, match="Segmented must define segments"):
        Segmented()(torch.ones(1))


class Sleepy(Segmented):
    """Another module's segments, with a sleep before and after each."""

    def __init__(self, module: Segmented, seed: int) -> None:
        super().__init__()
        self.module, self.seed = module, seed

    def segments(self, x: Tensor) -> Segments:
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        generator = random.Random(self.seed * 100 + rank)
        segments = self.module.segments(x)
        try:
            exchange = next(segments)
            while True:
                time.sleep(generator.choice([0, 0, 0.001, 0.005]))
                came = yield exchange
                time.sleep(generator.choice([0, 0, 0.001, 0.005]))
                exchange = segments.send(came)
        except StopIteration as end:
            return end.value


@settings(max_examples=6)
@given(
    st.integers(2, 3),
    st.integers(0, 1000),
    st.sampled_from([None, Link(0.002), Link(0.001, 1e6)]),
    st.sampled_from([*ORDERS.values(), *all_orders()]),
)
def test_no_timing_and_no_order_changes_a_gradient(size: int, seed: int, link: Link | None, order: Any) -> None:
    """Sleeps at random places, other ones on each rank, and random tokens: blocking and overlapped are one."""

    def both(ctx: Any) -> list[list[Tensor]]:
        group = ExpertGroup.of()
        shape = {"hidden": 8, "num_experts": 2 * size, "top_k": 2, "group": group, "balance": "auxiliary"}
        stage = SegmentedSequence(*(MoEBlock(8, 2, seed=layer, **shape) for layer in range(2))).double()
        generator = torch.Generator().manual_seed(seed + ctx.rank)
        first, second, gradient = torch.randn(3, 1, 5, 8, generator=generator, dtype=torch.float64)
        found = []
        for blocking in (True, False):
            stage.zero_grad()
            module = stage if blocking else Sleepy(stage, seed)
            streams = Streams(None if blocking else link, blocking)
            before, after = SegmentedPass(module, streams), SegmentedPass(module, streams)
            results = [before.forward(first)]
            if blocking:
                results += [before.backward(gradient), after.forward(second)]
            else:
                results += pair(before, gradient, after, second, order)
            results.append(after.backward(gradient))
            found.append([*results, *gradients(stage)])
        return found

    for blocking, overlapped in Ranks(size).run(both, timeout=60):
        assert all(torch.equal(a, b) for a, b in zip(blocking, overlapped, strict=True))


def test_an_emulated_link_holds_rows_back() -> None:
    streams = Streams(Link(latency=0.01, bandwidth=1e4))
    began = time.monotonic()
    flights = [streams.start(Exchange("x", torch.ones(10, 2), [10], [10]), "F") for _ in range(3)]
    assert streams.link is not None
    assert streams.link.seconds(Exchange("x", torch.ones(10, 2), [10, 5], [10, 0])) == 0.01 + 5 * 2 * 4 / 1e4
    assert streams.link.seconds(Exchange("x", torch.ones(0, 2), [0, 0], [0, 5])) == 0.01 + 5 * 2 * 4 / 1e4
    flights[2].wait()
    assert time.monotonic() - began >= 0.03  # one after the other
    ends = [(span.start, span.end) for span in streams.spans]
    assert all(end <= start for (_, end), (start, _) in zip(ends, ends[1:], strict=False))
