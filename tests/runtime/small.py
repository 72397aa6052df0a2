"""Small stages and batches for runs on real ranks."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 8


def mse(output: Tensor, target: Tensor) -> Tensor:
    return ((output - target) ** 2).mean()


def linears(count: int, dtype: torch.dtype = torch.float32) -> list[nn.Module]:
    torch.manual_seed(1)
    return [nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()).to(dtype) for _ in range(count)]


def vectors(size: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """(inputs, targets)."""
    generator = torch.Generator().manual_seed(2)
    inputs, targets = (torch.randn(size, WIDTH, generator=generator, dtype=dtype) for _ in range(2))
    return inputs, targets
