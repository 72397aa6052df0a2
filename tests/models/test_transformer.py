import doctest
import subprocess
import sys

import pytest
import torch
from torch import nn

from pipelab.models import Embedding, batches, loss, transformer, transformer_stages

SMALL = {"width": 16, "heads": 2, "sequence_length": 24}


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors gain nothing from several threads, and lose much where other work shares the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def blocks(stages):
    """Blocks per stage."""
    return [sum(isinstance(piece, transformer.Block) for piece in stage) for stage in stages]


@pytest.mark.parametrize(
    ("num_stages", "split"),
    [(1, None), (2, None), (3, None), (8, None), (4, [1, 2, 2, 1]), (3, [0, 6, 0]), (2, [5, 1])],
)
def test_every_split_is_the_same_model_bit_for_bit(num_stages, split):
    whole = nn.Sequential(*transformer_stages(1, layers=6, seed=3, **SMALL))
    cut = nn.Sequential(*transformer_stages(num_stages, layers=6, split=split, seed=3, **SMALL))
    [(tokens, targets)] = batches(4, 24)
    expected, logits = whole(tokens), cut(tokens)
    assert logits.shape == (4, 24, 256)
    assert torch.equal(logits, expected)
    loss(expected, targets).backward()
    loss(logits, targets).backward()
    gradients = zip(whole.parameters(), cut.parameters(), strict=True)
    assert all(torch.equal(one.grad, other.grad) for one, other in gradients)


def test_parameters_keep_their_names_in_every_split():
    def names(stages):
        return [name for stage in stages for name, _ in stage.named_parameters()]

    whole = names(transformer_stages(1, layers=4, **SMALL))
    assert names(transformer_stages(3, split=[0, 3, 1], **SMALL)) == whole
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize(
    ("num_stages", "layers", "expected"),
    [
        (4, None, [1, 1, 1, 1]),
        (4, 6, [1, 2, 2, 1]),
        (4, 5, [1, 2, 1, 1]),
        (4, 2, [0, 1, 1, 0]),
        (4, 12, [3, 3, 3, 3]),
        (2, 3, [2, 1]),
        (2, 0, [0, 0]),
        (1, 3, [3]),
    ],
)
def test_an_even_split_favours_the_middle(num_stages, layers, expected):
    stages = transformer_stages(num_stages, layers=layers, **SMALL)
    assert blocks(stages) == expected
    assert next(iter(stages[0].named_children()))[0] == "embedding"
    assert list(stages[-1].named_children())[-1][0] == "head"


def test_a_split_alone_says_how_many_layers():
    assert blocks(transformer_stages(3, split=[2, 1, 2], **SMALL)) == [2, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_stages": 0}, "num_stages must be at least 1; got 0"),
        ({"num_stages": 4, "layers": 1}, "4 stages need at least 2 layers.* got 1"),
        ({"num_stages": 2, "layers": -1}, "layers must be at least 0; got -1"),
        ({"num_stages": 4, "split": [1, 2, 1]}, r"split must have 4 numbers.*got 3: \[1, 2, 1\]"),
        ({"num_stages": 2, "layers": 4, "split": [1, 2]}, r"add up to layers=4; got \[1, 2\], which adds up to 3"),
        ({"num_stages": 2, "split": [3, -1]}, "at least 0; got -1"),
        ({"num_stages": 2, "split": [1, 1.5]}, "whole number; got 1.5"),
        ({"num_stages": 4, "split": [1, 1, 0, 1]}, "stage 2 is empty"),
        ({"num_stages": 2, "width": 30, "heads": 4}, "width must be a multiple of heads, as 32 is of 4; got 30"),
        ({"num_stages": 2, "sequence_length": 0}, "sequence_length must be at least 1; got 0"),
        ({"num_stages": 2, "dtype": torch.int64}, "floating-point type.*got torch.int64"),
    ],
)
def test_wrong_arguments_are_named_with_what_would_be_right(arguments, message):
    with pytest.raises(ValueError, match=message):
        transformer_stages(**arguments)


def test_weights_depend_on_the_seed_alone():
    def weights(**arguments):
        stages = transformer_stages(2, **SMALL, **arguments)
        return torch.cat([parameter.detach().float().flatten() for stage in stages for parameter in stage.parameters()])

    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = weights(seed=7)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(weights(seed=7), first)
    assert torch.equal(weights(seed=7, dtype=torch.float64), first)
    assert not torch.equal(weights(seed=8), first)


def test_stages_share_no_parameters_with_another_model():
    one, other = (transformer_stages(1, **SMALL)[0] for _ in range(2))
    with torch.no_grad():
        next(one.parameters()).zero_()
    assert next(other.parameters()).abs().sum() > 0


def test_no_byte_sees_a_later_one():
    model = nn.Sequential(*transformer_stages(2, **SMALL))
    [(tokens, _)] = batches(1, 24)
    changed = tokens.clone()
    changed[0, 10] = (changed[0, 10] + 1) % 256
    before, after = model(tokens), model(changed)
    assert torch.equal(before[:, :10], after[:, :10])
    assert not torch.allclose(before[:, 10], after[:, 10])
    assert not torch.allclose(before[:, 11:], after[:, 11:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_reach_every_parameter_through_detached_boundaries(dtype):
    stages = transformer_stages(3, dtype=dtype, **SMALL)
    [(tokens, targets)] = batches(2, 24)
    sent, received = [], [tokens]
    for stage in stages:
        sent.append(stage(received[-1]))
        received.append(sent[-1].detach().requires_grad_())
    assert [tuple(output.shape) for output in sent] == [(2, 24, 16), (2, 24, 16), (2, 24, 256)]
    assert all(output.dtype == dtype for output in sent)
    loss(sent[-1], targets).backward()
    for stage in (1, 0):
        sent[stage].backward(received[stage + 1].grad)
    for stage in stages:
        assert all(parameter.grad.abs().sum() > 0 for parameter in stage.parameters())


def test_too_long_a_sequence_is_refused_and_a_shorter_one_is_not():
    embedding = Embedding(width=8, sequence_length=16)
    assert embedding(torch.zeros(2, 5, dtype=torch.int64)).shape == (2, 5, 8)
    with pytest.raises(ValueError, match="at most 16 bytes; got 17"):
        embedding(torch.zeros(2, 17, dtype=torch.int64))


def test_loss_is_the_mean_over_all_positions():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 5, 256, generator=generator)
    targets = torch.randint(256, (3, 5), generator=generator)
    expected = [-logits[b, s].log_softmax(0)[targets[b, s]] for b in range(3) for s in range(5)]
    torch.testing.assert_close(loss(logits, targets), torch.stack(expected).mean())
    assert loss(logits, targets).shape == ()


@pytest.mark.parametrize(("width", "after_ten"), [(64, 3.6), (32, 4.2)])
def test_the_model_learns_within_a_lessons_few_steps(width, after_ten):
    model = nn.Sequential(*transformer_stages(4, width=width))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for tokens, targets in batches(16, 64, steps=30):
        value = loss(model(tokens), targets)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(value.item())
    assert 5.3 < losses[0] < 6.0  # ln 256 = 5.55: it starts knowing nothing
    assert losses[10] < after_ten
    assert sum(losses[-3:]) / 3 < 3.4


def test_importing_the_room_loads_no_torch():
    code = "import sys, pipelab.models as room; assert 'batches' in dir(room); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
    with pytest.raises(AttributeError, match="no attribute 'transformers'"):
        _ = __import__("pipelab.models").models.transformers


def test_examples():
    assert doctest.testmod(transformer).failed == 0
