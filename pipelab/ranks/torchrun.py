"""Ranks that torchrun has started already, perhaps on several machines: join their world instead of starting one."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Callable
from typing import Any


def under_torchrun() -> bool:
    """Was this process started by torchrun, or in the same way?

    Examples
    --------
    >>> under_torchrun()
    False
    """
    return all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))


def run_here(size: int, device: str | None, threads: int, function: Callable[..., Any], arguments: tuple) -> list[Any]:
    """Call the function in this process, which torchrun started; return the list of all ranks' results."""
    import torch
    import torch.distributed as dist
    import torch.distributed.nn.functional  # imported later, its default arguments would keep the group

    from .worker import RankContext, join

    rank, started = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, local_size = int(os.environ.get("LOCAL_RANK", rank)), int(os.environ.get("LOCAL_WORLD_SIZE", started))
    if size != started:
        raise ValueError(f"torchrun started {started} ranks, but {size} are asked for")
    if not dist.is_initialized():
        join(device or ("cuda" if torch.cuda.device_count() >= local_size else "cpu"), rank, size, local)
        atexit.register(_leave)
    torch.set_num_threads(threads)
    results: list[Any] = [None] * size
    dist.all_gather_object(results, function(RankContext.joined(local), *arguments))
    return results


def _leave() -> None:
    """Leave all groups before the interpreter ends.

    A thread of gloo's ends with its group. One that is still there, and lets go of a tensor while the interpreter ends,
    aborts the process. So nothing may keep a group: no circle of references either.
    """
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()
