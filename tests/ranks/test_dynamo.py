"""Optimizers on ranks leave torch._dynamo out: they do what they do elsewhere, and it is there once it is wanted."""

from __future__ import annotations

import sys

import pytest
import torch

from pipelab.ranks import Ranks
from pipelab.ranks.forkserver_client import SERVER

OPTIMIZERS = {
    "SGD": {"momentum": 0.9, "nesterov": True},
    "Adam": {"amsgrad": True},
    "AdamW": {"foreach": True},
    "RMSprop": {"centered": True},
    "Adafactor": {},
    "LBFGS": {},
}


@pytest.fixture
def fresh_server(monkeypatch):
    """A forkserver that has heard of nothing."""
    monkeypatch.setattr(SERVER, "missed", set())
    SERVER.close()
    yield
    SERVER.close()


def trained(name: str) -> list[float]:
    torch.manual_seed(0)
    layer = torch.nn.Linear(3, 2)
    optimizer = getattr(torch.optim, name)(layer.parameters(), lr=0.1, **OPTIMIZERS[name])

    def loss():
        optimizer.zero_grad()
        value = (layer(torch.ones(4, 3)) ** 2).sum()
        value.backward()
        return value

    for _ in range(3):
        loss()
        optimizer.step(loss)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step(loss)
    return torch.cat([parameter.flatten() for parameter in layer.parameters()]).tolist()


def on_a_rank(ctx, first: bool):
    if first:
        import torch._dynamo  # noqa: F401
    return {name: trained(name) for name in OPTIMIZERS}, "torch._dynamo" in sys.modules


@pytest.mark.usefixtures("fresh_server")
def test_they_train_as_elsewhere_and_do_not_import_it() -> None:
    here = {name: trained(name) for name in OPTIMIZERS}
    assert Ranks(1).run(on_a_rank, False) == [(here, False)]
    assert Ranks(1).run(on_a_rank, True) == [(here, True)]


@pytest.mark.usefixtures("fresh_server")
def test_where_it_was_wanted_once_later_ranks_have_it() -> None:
    def has(ctx, wanted):
        before = "torch._dynamo" in sys.modules
        if wanted:
            torch.compile(torch.nn.Linear(1, 1), backend="eager")(torch.ones(1))
        return before

    assert [Ranks(1).run(has, wanted) for wanted in (False, True, False)] == [[False], [False], [True]]


@pytest.mark.usefixtures("fresh_server")
def test_a_step_that_is_to_be_differentiated_records_what_it_does() -> None:
    def step(ctx):
        weight = torch.ones(1, requires_grad=True)
        optimizer = torch.optim.SGD([moved := weight.clone()], lr=0.5, differentiable=True)
        moved.retain_grad()
        (moved**2).sum().backward(create_graph=True)
        optimizer.step()
        return moved.grad_fn is not None and torch.is_grad_enabled()

    assert Ranks(1).run(step) == [True]
