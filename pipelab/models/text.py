"""Text: real text that every Python brings along, the sources of its standard library."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch

from ..amounts import at_least

#: A byte-level model's vocabulary.
BYTES = 256

#: Bytes read at most: far more than a lesson's steps use, and read in milliseconds.
LIMIT = 1_000_000

#: Tables, generated strings and applications, which are unlike the rest.
_LEFT_OUT = {"encodings", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tests", "turtledemo"}


@cache
def stdlib_text(limit: int = LIMIT) -> bytes:
    """The first `limit` bytes of the standard library's Python sources, one file after the other by name.

    Other versions of Python have other sources, so results agree only between equal versions. Where Python came without
    its sources, as with a zipped standard library, this is a FileNotFoundError.

    Parameters
    ----------
    limit : int
        Bytes, 1 or more.

    Examples
    --------
    >>> stdlib_text(1000).count(b"import") > 0
    True
    """
    limit = at_least(1, limit, "limit")
    folder = Path(sysconfig.get_path("stdlib"))
    text = bytearray()
    for file in _sources(folder):
        text += file.read_bytes().replace(b"\r\n", b"\n")
        if len(text) >= limit:
            break
    if not text:
        raise FileNotFoundError(
            f"the standard library's sources (.py files), which the model trains on, are not in {folder}: "
            "this Python comes without them (zipped or stripped?). Use a full Python, or give batches of your own"
        )
    return bytes(text[:limit])


def _sources(folder: Path) -> Iterator[Path]:
    """The .py files of the standard library in `folder`, sorted; no tests, and nothing installed."""
    for top in sorted(folder.glob("*"), key=lambda path: path.name):
        if top.stem not in sys.stdlib_module_names or top.name in _LEFT_OUT:
            continue
        if top.is_file() and top.suffix == ".py":
            yield top
        elif (top / "__init__.py").is_file():
            inside = (file for file in top.rglob("*.py") if not _LEFT_OUT.intersection(file.relative_to(top).parts))
            yield from sorted(inside, key=lambda path: path.relative_to(top).parts)


def batches(
    batch_size: int, sequence_length: int = 64, *, steps: int = 1, seed: int = 0
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Passages of the standard library's sources, for predicting each next byte: (inputs, targets) for each step.

    Both are int64 [batch_size, sequence_length], and a target is the byte after its input.

    Parameters
    ----------
    batch_size, sequence_length, steps : int
        1 or more; a sequence is shorter than the text. Otherwise this is a ValueError.
    seed : int
        The passages depend on it alone, so more steps begin like fewer.

    Examples
    --------
    >>> [(inputs, targets)] = batches(8, 32)
    >>> inputs.shape, bool((inputs[:, 1:] == targets[:, :-1]).all())
    (torch.Size([8, 32]), True)
    """
    batch_size = at_least(1, batch_size, "batch_size")
    sequence_length = at_least(1, sequence_length, "sequence_length")
    steps = at_least(1, steps, "steps")
    text = torch.frombuffer(bytearray(stdlib_text()), dtype=torch.uint8)
    places = len(text) - sequence_length  # where a passage and the next byte fit
    if places < 1:
        raise ValueError(f"sequence_length must be less than the text's {len(text)} bytes; got {sequence_length}")
    generator = torch.Generator().manual_seed(seed)
    window = torch.arange(sequence_length + 1)
    pairs = []
    for _ in range(steps):
        starts = torch.randint(places, (batch_size, 1), generator=generator)
        passages = text[starts + window].long()
        # contiguous, as micro-batches are sent to other ranks
        pairs.append((passages[:, :-1].contiguous(), passages[:, 1:].contiguous()))
    return pairs
