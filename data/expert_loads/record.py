"""Record: train a small byte-level Mixture of Experts, and write down which expert got how many tokens.

    python data/expert_loads/record.py --balance none        # or auxiliary, or bias; to data/expert_loads/none.csv

The model trains on five kinds of text from the standard library's sources. README.md says what each column means.
"""

from __future__ import annotations

import argparse
import ast
import csv
import io
import sys
import sysconfig
import time
import tokenize
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import CodeType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipelab.models import Embedding, Head, loss
from pipelab.moe import MoEBlock

#: Of every 20 passages of the training text, so many are of this kind: as in real data, some kinds are rare.
SHARES = {"code": 8, "docstrings": 4, "manual": 4, "tables": 2, "bytecode": 2}
BYTES = 400_000  # of each kind, at most
HELD_OUT = 10  # the last tenth of each kind is never trained on
WIDTH, LAYERS, EXPERTS, TOP_K, HIDDEN, LENGTH, BATCH = 128, 4, 16, 2, 256, 64, 32
#: Of the bias five times the paper's 1e-3, as there are only some hundred steps.
STRENGTH = {"none": 0.0, "auxiliary": 1e-2, "bias": 5e-3}
WINDOW = 10  # steps of training
MEASURED = 8  # batches of each kind of held-out text
STAY = 8  # windows of serving that belong to a kind; in the second half of them the next kind comes in
SERVED = 4  # batches in a window of serving


class RecordedRow(NamedTuple):
    """A line of the file: one layer's loads in one window. `tokens` [experts]: how many tokens chose each expert."""

    part: str
    window: int
    kind: str
    loss: float
    layer: int
    tokens: list[int]


# --- the text ---------------------------------------------------------------------------------------------------------


@cache
def kinds() -> dict[str, bytes]:
    """Every kind's text. FileNotFoundError where Python came without its sources."""
    library = Path(sysconfig.get_path("stdlib"))
    modules = [file for file in sorted(library.glob("*.py")) if file.stem in sys.stdlib_module_names]
    sources = [file.read_text(encoding="utf-8") for file in modules]
    topics = library / "pydoc_data" / "topics.py"
    tables = sorted(library.glob("encodings/*.py"))
    if not (sources and topics.is_file() and tables):
        raise FileNotFoundError(f"{library} lacks the standard library's sources, encodings or pydoc_data")
    texts = {
        "code": map(_code, sources),
        "docstrings": map(_docstrings, sources),
        "manual": _manual(topics.read_text(encoding="utf-8")),
        "tables": (file.read_text(encoding="utf-8") for file in tables if _is_table(file)),
    }
    found = {kind: _first(text.encode() for text in parts) for kind, parts in texts.items()}
    found["bytecode"] = _first(_bytecode(compile(text, "", "exec", dont_inherit=True)) for text in sources)
    return found


def _first(parts: Iterator[bytes]) -> bytes:
    text = bytearray()
    for part in parts:
        text += part
        if len(text) >= BYTES:
            break
    return bytes(text[:BYTES])


def _code(source: str) -> str:
    """The lines of statements: neither docstrings nor lines that are only a comment."""
    idle = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
    lines = source.splitlines(keepends=True)
    kept: set[int] = set()
    for tokens in _statements(source):
        real = [token for token in tokens if token.type not in idle]
        if any(token.type != tokenize.STRING for token in real):
            kept.update(line for token in real for line in range(token.start[0], token.end[0] + 1))
    return "".join(lines[number - 1] for number in sorted(kept) if number <= len(lines))


def _statements(source: str) -> Iterator[list[tokenize.TokenInfo]]:
    """The tokens of each logical line."""
    tokens: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.ENDMARKER:
            tokens.append(token)
        if token.type == tokenize.NEWLINE:
            yield tokens
            tokens = []


def _docstrings(source: str) -> str:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, documented))
    return "".join(f"{text}\n\n" for text in found if text)


def _manual(source: str) -> Iterator[str]:
    """Chapters of the language reference, which pydoc shows as help."""
    (topics,) = (node.value for node in ast.parse(source).body if isinstance(node, ast.Assign))
    yield from ast.literal_eval(topics).values()


def _is_table(file: Path) -> bool:
    return "decoding_table" in file.read_text(encoding="utf-8")


def _bytecode(code: CodeType) -> bytes:
    """The instructions of a module and of all that is defined in it, for Python's virtual machine."""
    return code.co_code + b"".join(_bytecode(each) for each in code.co_consts if isinstance(each, CodeType))


def passages(kind: str, count: int, generator: torch.Generator, *, held_out: bool) -> Tensor:
    """int64 [count, LENGTH + 1], from random places of the kind's training text, or of its held-out text."""
    text = torch.frombuffer(bytearray(kinds()[kind]), dtype=torch.uint8)
    border = len(text) - len(text) // HELD_OUT
    text = text[border:] if held_out else text[:border]
    starts = torch.randint(len(text) - LENGTH, (count, 1), generator=generator)
    return text[starts + torch.arange(LENGTH + 1)].long()


def mixed(counts: dict[str, int], generator: torch.Generator, *, held_out: bool) -> Tensor:
    return torch.cat([passages(kind, n, generator, held_out=held_out) for kind, n in counts.items() if n])


# --- the model --------------------------------------------------------------------------------------------------------


def model(balance: str, seed: int) -> nn.Sequential:
    settings: dict[str, Any] = {
        "hidden": HIDDEN,
        "num_experts": EXPERTS,
        "top_k": TOP_K,
        "score": "sigmoid",
        "balance": None if balance == "none" else balance,
        "strength": STRENGTH[balance],
    }
    blocks = (MoEBlock(WIDTH, 4, seed=seed * LAYERS + layer, **settings) for layer in range(LAYERS))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(Embedding(WIDTH, LENGTH), *blocks, Head(WIDTH))


class LoadCounter:
    """Adds up what the layers of a model count, and its losses, until a window is complete."""

    def __init__(self, net: nn.Sequential) -> None:
        self.layers = [block.moe for block in net if isinstance(block, MoEBlock)]
        self.clear()

    def clear(self) -> None:
        self.tokens = torch.zeros(LAYERS, EXPERTS, dtype=torch.int64)
        self.losses: list[float] = []

    def add(self, value: Tensor) -> None:
        self.tokens += torch.stack([layer.loads for layer in self.layers])
        self.losses.append(value.item())

    def rows(self, part: str, window: int, kind: str) -> Iterator[RecordedRow]:
        mean = round(sum(self.losses) / len(self.losses), 4)
        for layer, tokens in enumerate(self.tokens.tolist()):
            yield RecordedRow(part, window, kind, mean, layer, tokens)
        self.clear()


def train(net: nn.Sequential, steps: int, seed: int) -> Iterator[RecordedRow]:
    generator, counter = torch.Generator().manual_seed(seed), LoadCounter(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    names = list(SHARES)
    shares = torch.tensor([float(SHARES[name]) for name in names])
    for step in range(1, steps + 1):
        drawn = torch.multinomial(shares, BATCH, replacement=True, generator=generator).bincount(minlength=len(names))
        text = mixed(dict(zip(names, drawn.tolist(), strict=True)), generator, held_out=False)
        value = loss(net(text[:, :-1]), text[:, 1:])
        optimizer.zero_grad()
        value.backward()
        counter.add(value)
        for layer in counter.layers:
            layer.end_step()  # moves the bias, where there is one
        optimizer.step()
        if step % WINDOW == 0:
            yield from counter.rows("training", step // WINDOW - 1, "mixed")


@torch.no_grad()
def measure(net: nn.Sequential, seed: int) -> Iterator[RecordedRow]:
    """The trained model on held-out text: each kind by itself, then the kinds one after the other."""
    generator, counter = torch.Generator().manual_seed(seed + 1), LoadCounter(net)
    net.eval()

    def show(counts: dict[str, int], batches: int) -> None:
        for _ in range(batches):
            text = mixed(counts, generator, held_out=True)
            value = loss(net(text[:, :-1]), text[:, 1:])
            counter.add(value)
            for layer in counter.layers:
                layer.loads.zero_()  # and not end_step: the bias stays as it is

    names = list(SHARES)
    for window, kind in enumerate(names):
        show({kind: BATCH}, MEASURED)
        yield from counter.rows("domain", window, kind)
    for place, (kind, following) in enumerate(pairwise([*names, names[0]])):
        for number in range(STAY):
            coming = max(0, number - STAY // 2) * BATCH // STAY  # passages of the next kind: none to 3 of 8
            show({kind: BATCH - coming, following: coming}, SERVED)
            yield from counter.rows("serving", place * STAY + number, kind)


def record(balance: Literal["none", "auxiliary", "bias"], steps: int = 400, seed: int = 0) -> Iterator[RecordedRow]:
    """Train, then measure. The same rows for the same arguments, on the same machine with the same versions."""
    net = model(balance, seed)
    yield from train(net, steps, seed)
    yield from measure(net, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small Mixture of Experts and record its experts' loads.")
    parser.add_argument("--balance", choices=list(STRENGTH), default="none")
    parser.add_argument("--steps", type=int, default=400, help=f"of training, a multiple of {WINDOW}; default 400")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="default: beside this script")
    given = parser.parse_args()
    if given.steps < WINDOW or given.steps % WINDOW:
        parser.error(f"--steps must be a multiple of {WINDOW}, {WINDOW} or more; got {given.steps}")
    torch.set_num_threads(1)  # sums in one order; and CPU time is a stopwatch's
    path = given.out or Path(__file__).with_name(f"{given.balance}.csv")
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*RecordedRow._fields[:-1], *(f"expert{number}" for number in range(EXPERTS))])
        for *figures, tokens in record(given.balance, given.steps, given.seed):
            writer.writerow([*figures, *tokens])
            if figures[4] == 0:
                print(*figures[:3], f"loss {figures[3]:.3f}", f"{time.process_time():.0f} s of CPU", flush=True)


if __name__ == "__main__":
    main()
