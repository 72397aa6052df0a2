"""DeepSeek's own DualPipe, from a checkout of deepseek-ai/DualPipe, on gloo and this machine's cores.

Its code is as it stands there, but for what names a GPU: where received tensors are made, and the check that the
modules stand on one. Around it is what its example puts there: linear layers that leave their weights' gradients to a
store (the example's have no bias), and, after each step, the sum of both copies' gradients, one parameter after the
other. The example gathers them from all ranks; here each comes from the one other rank that has it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F


class DeepSeeks:
    """Its DualPipe on this rank. `step` does a step and returns this rank's share of the loss.

    modules: stage -> module, for this rank's two stages. Their linear layers become those of the example.
    """

    def __init__(
        self, checkout: Path, ctx: Any, modules: dict[int, nn.Module], microbatches: int, loss: Any, message: list[int]
    ) -> None:
        sys.path.insert(0, str(checkout))
        from dualpipe import DualPipe, comm, set_p2p_tensor_dtype, set_p2p_tensor_shapes
        from dualpipe.utils import WeightGradStore

        set_p2p_tensor_shapes([tuple(message)])
        set_p2p_tensor_dtype(torch.float32)
        comm.build_from_tensor_shapes = lambda: [
            torch.empty(shape, dtype=comm.TENSOR_DTYPE, requires_grad=True) for shape in comm.TENSOR_SHAPES
        ]
        for module in modules.values():
            _use_store(module, WeightGradStore)
        self.rank, last = ctx.rank, ctx.size - 1
        self.modules, self.microbatches = modules, microbatches
        self.first, self.last = self.rank == 0, self.rank == last
        gpu, torch.cuda.current_device = torch.cuda.current_device, lambda: ctx.device
        self.pipe = DualPipe((modules[self.rank], modules[last - self.rank]))
        torch.cuda.current_device = gpu
        self.criterion = lambda output, target: loss(output, target) / microbatches
        pairs = [[rank, last - rank] for rank in range(ctx.size // 2)]
        groups = [dist.new_group(pair) for pair in pairs]
        self.group = next(group for pair, group in zip(pairs, groups, strict=True) if self.rank in pair)
        self.place = dist.get_group_rank(self.group, self.rank)

    def step(self, inputs: Tensor, targets: Tensor) -> float:
        given: tuple[Tensor, ...] = ()
        labels: list[Tensor] = []
        if self.first or self.last:  # each begins with its half of the batch, and has the loss of the other
            given, labels = (inputs.chunk(2)[self.last],), [targets.chunk(2)[self.first]]
        found, _ = self.pipe.step(*given, num_chunks=self.microbatches, criterion=self.criterion, labels=labels)
        for _, module in sorted(self.modules.items()):
            for p in module.parameters():
                both = [torch.empty_like(p) for _ in range(2)]
                dist.all_gather(both, p.grad, group=self.group)
                p.grad += both[1 - self.place]
        return 0.0 if found is None else float(found.detach().sum())


def _use_store(module: nn.Module, store: Any) -> None:
    """Have its linear layers leave their weights' gradients to the store, as those of the example do."""

    class LinearFunc(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            ctx.save_for_backward(x, weight, bias)
            return F.linear(x, weight, bias)

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
            x, weight, bias = ctx.saved_tensors

            def of_weights() -> None:
                flat = dy.flatten(0, -2)
                for p, gradient in ((weight, flat.T @ x.flatten(0, -2)), (bias, flat.sum(0))):
                    p.grad = gradient if p.grad is None else p.grad.add_(gradient)

            if store.enabled:
                store.put(of_weights)
            else:
                of_weights()
            return dy @ weight, None, None

    class Linear(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return LinearFunc.apply(x, self.weight, self.bias)

    for each in module.modules():
        if isinstance(each, nn.Linear):
            each.__class__ = Linear
