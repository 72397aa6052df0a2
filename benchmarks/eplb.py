"""Placing experts: how fast against the algorithm as published, and how well balanced?

The published code computes with torch, one tensor element at a time. `PublishedInTorch` here does the same, in the same
way; with --published PATH the file itself, deepseek-ai/EPLB's eplb.py, takes its place. The same algorithm on plain
Python numbers is pipelab.eplb.reference. Times are the shortest of several, in this process's processor time: a busy
machine's clock tells more of its other work. All three maps are built, in every repetition, from the loads.
"""

from __future__ import annotations

import gc
import importlib.util
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _table import Row, parser, show

from pipelab.eplb import Plan, drifting, lognormal, one_hot, rebalance, rebalance_experts, reference, zipf


class PublishedInTorch:
    """The published algorithm on tensors: as many torch operations for as many elements, one after the other."""

    def rebalance_experts(self, weight: torch.Tensor, replicas: int, groups: int, nodes: int, gpus: int) -> Any:
        if groups % nodes:
            groups = nodes = 1
        weight = weight.float()
        layers, experts = weight.shape
        size = experts // groups
        packed = self.pack(weight.view(layers, groups, size).sum(2), nodes)
        own = (packed[:, :, None] * size + torch.arange(size)).view(layers, experts)
        load = weight.gather(1, own).view(layers * nodes, -1)
        expert, rank, count = self.replicate(load, replicas // nodes)
        placed = self.pack((load / count).gather(1, expert), gpus // nodes)
        local = expert.gather(1, placed).view(layers, nodes, -1) + torch.arange(nodes)[:, None] * (experts // nodes)
        slots = own.gather(1, local.view(layers, -1))
        rank = rank.gather(1, placed).view(layers, -1)
        counts = torch.empty_like(own).scatter_(1, own, count.view(layers, -1))
        most = int(counts.max())
        where = torch.full((layers, experts * most), -1)
        where.scatter_(1, slots * most + rank, torch.arange(replicas).expand(layers, -1))
        return slots, where.view(layers, experts, most), counts

    def pack(self, weight: torch.Tensor, packs: int) -> torch.Tensor:
        """Per row, the items of pack 0, then of pack 1, and so on."""
        rows, items = weight.shape
        room = items // packs
        if room == 1:
            return torch.arange(items).repeat(rows, 1)
        falling = weight.sort(1, descending=True).indices
        slots = torch.full((rows, packs, room), -1)
        for row in range(rows):
            load, held = [0] * packs, [0] * packs
            for item in falling[row]:
                pack = min((p for p in range(packs) if held[p] < room), key=load.__getitem__)
                slots[row, pack, held[pack]] = item
                load[pack] += weight[row, item]
                held[pack] += 1
        return slots.view(rows, items)

    def replicate(self, load: torch.Tensor, replicas: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows, experts = load.shape
        expert = torch.arange(replicas).repeat(rows, 1)
        rank = torch.zeros_like(expert)
        count, every = torch.ones(rows, experts, dtype=torch.int64), torch.arange(rows)
        for replica in range(experts, replicas):
            heaviest = (load / count).max(1).indices
            expert[:, replica], rank[:, replica] = heaviest, count[every, heaviest]
            count[every, heaviest] += 1
        return expert, rank, count


def published(path: Path | None) -> tuple[Any, str]:
    """What has rebalance_experts as published, and what to call it."""
    if path is None:
        return PublishedInTorch(), "as published, in torch"
    spec = importlib.util.spec_from_file_location("published_eplb", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module, str(path.name)


def milliseconds(function: Callable[[], Any], repeats: int) -> float:
    """The processor's time that it takes, at the shortest."""
    gc.collect()
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        function()
        taken.append(1000 * (time.process_time() - began))
    return min(taken)


class Case:
    """Loads and sizes; what is wanted: times faster than published for greedy, its ms, refined's ms, its balance."""

    def __init__(self, load: np.ndarray, name: str, replicas: int, gpus: int, nodes: int = 1, groups: int = 1) -> None:
        self.load, self.replicas, self.gpus, self.nodes, self.groups = load, replicas, gpus, nodes, groups
        hierarchical = f", {groups} groups, {nodes} nodes" if nodes > 1 else ""
        self.name = f"{name} {load.shape[0]}x{load.shape[1]} -> {replicas}{hierarchical} on {gpus}"

    def rows(self, peer: Any, repeats: int, wanted: dict[str, tuple[str, Callable[[Row], bool]]]) -> list[Row]:
        """One line for each policy that something is wanted of."""
        tensor = torch.tensor(self.load)
        sizes = (self.replicas, self.groups, self.nodes, self.gpus)
        theirs = milliseconds(lambda: peer.rebalance_experts(tensor, *sizes), 3)
        published = Plan.from_map(peer.rebalance_experts(tensor, *sizes)[0], self.load, self.gpus, self.nodes)
        rows = []
        for policy, (text, met) in wanted.items():
            if policy == "greedy":
                mine = milliseconds(lambda: rebalance_experts(self.load, *sizes), repeats)
            else:
                mine = milliseconds(lambda: self.plan("refined"), repeats)
            plan = self.plan(policy)
            row = {
                "loads, layers x experts -> replicas on GPUs": self.name,
                "policy": policy,
                "published ms": theirs,
                "ms": mine,
                "times faster": theirs / mine,
                "balance published": published.balancedness.mean(),
                "balance": plan.balancedness.mean(),
                "at most": plan.attainable.mean(),
                "worse layers": int((plan.balancedness < published.balancedness * (1 - 1e-6)).sum()),
                "moved": "",
                "wanted": text,
            }
            rows.append({**row, "met": "yes" if met(row) else "NO"})
        return rows

    def plan(self, policy: str) -> Plan:
        return rebalance(self.load, self.replicas, self.gpus, self.nodes, self.groups, policy=policy)


def faster(times: int, limit: float = np.inf) -> tuple[str, Callable[[Row], bool]]:
    """What greedy is to reach: so many times faster, within so many ms, worse in no layer."""
    text = f"{times}x" + (f", {limit:g} ms" if np.isfinite(limit) else "") + ", no layer worse"
    return text, lambda row: row["times faster"] >= times and row["ms"] <= limit and not row["worse layers"]


def balanced(least: float, limit: float = np.inf) -> tuple[str, Callable[[Row], bool]]:
    """What refined is to reach: so much balance, within so many ms."""
    text = f"{least:g}" + (f", {limit:g} ms" if np.isfinite(limit) else "")
    return text, lambda row: row["balance"] >= least - 1e-9 and row["ms"] <= limit


def gained(least: float, limit: float = np.inf) -> tuple[str, Callable[[Row], bool]]:
    """What refined is to reach: so much more balance than published, within so many ms."""
    text = f"published + {least:g}" + (f", {limit:g} ms" if np.isfinite(limit) else "")
    return text, lambda row: row["balance"] >= row["balance published"] + least and row["ms"] <= limit


def over_time(peer: Any, correlation: float, repeats: int) -> Row:
    """Loads that drift: each plan is made from one window and judged by the next. Published: made anew each time."""
    layers, experts, replicas, gpus, windows = 58, 256, 288, 32, 8
    loads = drifting(windows, layers, experts, correlation=correlation, seed=0)
    plan = rebalance(loads[0], replicas, gpus, policy="refined")
    balance, fresh, moved = [], [], []
    for now, following in zip(loads[1:-1], loads[2:], strict=True):
        previous, plan = plan, rebalance(now, replicas, gpus, policy="incremental", previous=plan)
        anew = rebalance(now, replicas, gpus)
        balance.append(plan.under(following).balancedness.mean())
        fresh.append(anew.under(following).balancedness.mean())
        moved.append(plan.moved(previous))
    tensor = torch.tensor(loads[-2])
    theirs = milliseconds(lambda: peer.rebalance_experts(tensor, replicas, 1, 1, gpus), 1)
    mine = milliseconds(lambda: rebalance(loads[-2], replicas, gpus, policy="incremental", previous=previous), repeats)
    row = {
        "loads, layers x experts -> replicas on GPUs": f"drifting {correlation:g}, next window, {layers}x{experts} -> "
        f"{replicas} on {gpus}",
        "policy": "incremental",
        "published ms": theirs,
        "ms": mine,
        "times faster": theirs / mine,
        "balance published": np.mean(fresh),
        "balance": np.mean(balance),
        "at most": 1.0,
        "worse layers": "",
        "moved": f"{np.mean(moved):.1%}",
        "wanted": "98% of published, 10% moved",
    }
    return {**row, "met": "yes" if np.mean(balance) >= 0.98 * np.mean(fresh) and np.mean(moved) <= 0.1 else "NO"}


def main() -> None:
    line = parser(__doc__, repeats=25)
    line.add_argument("--published", type=Path, metavar="PATH", help="deepseek-ai/EPLB's eplb.py, to compare with")
    options = line.parse_args()
    torch.set_num_threads(1)
    peer, name = published(options.published)
    load = lognormal(58, 256, seed=0)
    wanted = [
        (Case(load, "lognormal", 288, 32, 4, 8), {"greedy": faster(100, 4), "refined": gained(0.002, 6)}),
        (Case(load, "lognormal", 288, 32), {"greedy": faster(200), "refined": balanced(0.997, 12)}),
        (Case(load, "lognormal", 320, 160), {"greedy": faster(500), "refined": gained(0)}),
        (Case(load, "lognormal", 288, 144), {"greedy": faster(500), "refined": gained(0)}),
        (Case(lognormal(60, 384, seed=0), "lognormal", 448, 64), {"greedy": faster(200), "refined": gained(0)}),
        (Case(zipf(58, 256, exponent=1.5, seed=0), "zipf 1.5", 288, 32), {"refined": balanced(0.96, 300)}),
        (Case(one_hot(58, 256, seed=0), "one-hot", 288, 32), {"refined": balanced(1)}),
    ]
    rows = [row for case, what in wanted for row in case.rows(peer, options.repeats, what)]
    rows += [over_time(peer, correlation, options.repeats) for correlation in (0.9, 0.98, 0.999)]
    loops = milliseconds(lambda: reference.rebalance_experts(load, 288, 8, 4, 32), 5)
    note = (
        f"published: {name}; the shortest of {options.repeats}, in processor time. Balance: mean over layers of mean / "
        f"highest GPU load. The loops of pipelab.eplb.reference take {loops:.0f} ms for the first line."
    )
    show(options, rows, note)


if __name__ == "__main__":
    main()
