"""Plan: which expert sits in which slot of which GPU, and every figure that follows from it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..amounts import at_least
from ..table import ShownAsTable, Table
from .sizes import Sizes, as_array, as_load
from .solver.bound import lower_bound
from .solver.packing import counts, maps, take

_SHOWN = 8  # layers in the printed table


@dataclass(frozen=True, eq=False)
class Plan(ShownAsTable):
    """Where every replica of every expert is, and the loads by which this is judged. It shows itself as a table.

    The three maps are those of deepseek-ai/EPLB. An expert's tokens go to its replicas by rank, so all senders that
    have this plan and the same rule, such as token number modulo replica_count, send them alike.

    Attributes
    ----------
    physical_to_logical : int64 array [layers, replicas]
        The expert in each slot: first the slots of GPU 0, then of GPU 1, and so on; GPUs node by node.
    logical_to_physical : int64 array [layers, experts, most replicas]
        The slots of each expert's replicas by rank; -1 after the last.
    replica_count : int64 array [layers, experts]
        Replicas of each expert.
    load : float64 array [layers, experts]
        In the unit in which it was given, such as tokens. An expert's replicas share it equally.
    sizes : Sizes
        The numbers of layers, experts, replicas, GPUs, nodes and groups.
    policy : str
        What placed the experts.

    Examples
    --------
    >>> Plan.from_map([[0, 1, 0, 2]], load=[[6, 1, 2]], gpus=2)
    <Plan given: 1 layers, 3 experts as 4 replicas, 2 on each of 2 GPUs>
    """

    physical_to_logical: np.ndarray
    logical_to_physical: np.ndarray
    replica_count: np.ndarray
    load: np.ndarray
    sizes: Sizes
    policy: str

    @classmethod
    def from_map(
        cls, physical_to_logical: Any, load: Any, gpus: int, nodes: int = 1, groups: int = 1, *, policy: str = "given"
    ) -> Plan:
        """A plan from its slots alone: any placement, so that it can be judged.

        An expert that does not exist or has no replica, and sizes that do not fit together, raise a ValueError.

        Examples
        --------
        >>> Plan.from_map([[0, 1, 0, 2]], load=[[6, 1, 2]], gpus=2).gpu_load.tolist()
        [[4.0, 5.0]]
        """
        load = as_load(load)
        placed = as_array(physical_to_logical)
        if placed.ndim != 2 or placed.dtype.kind not in "iu" or len(placed) != len(load):
            raise ValueError(
                f"physical_to_logical must be whole numbers, [layers, replicas], for {len(load)} layers; "
                f"got {placed.dtype} of shape {placed.shape}"
            )
        layers, experts = load.shape
        sizes = Sizes(layers, experts, placed.shape[1], gpus, nodes, groups)
        placed = placed.astype(np.int64)
        wrong = placed[(placed < 0) | (placed >= sizes.experts)]
        if wrong.size:
            raise ValueError(f"experts are 0 to {sizes.experts - 1}; physical_to_logical has {wrong[0]}")
        placed, slots, count = maps(placed, sizes.experts)
        for layer, expert in np.argwhere(count == 0):
            raise ValueError(f"every expert needs a replica; expert {expert} of layer {layer} has none")
        return cls(placed, slots, count, load, sizes, policy)

    def under(self, load: Any) -> Plan:
        """The same placement judged by other loads, such as those of the next window.

        Examples
        --------
        >>> plan = Plan.from_map([[0, 1, 0, 2]], load=[[6, 1, 2]], gpus=2)
        >>> plan.under([[2, 1, 5]]).gpu_load.tolist()
        [[2.0, 6.0]]
        """
        load = as_load(load)
        if load.shape != self.load.shape:
            raise ValueError(f"the plan is for loads of shape {self.load.shape}, [layers, experts]; got {load.shape}")
        return replace(self, load=load)

    # -- loads -------------------------------------------------------------------------------------------------------

    @cached_property
    def slot_load(self) -> np.ndarray:
        """[layers, replicas]: the load of each slot."""
        return take(self.load / self.replica_count, self.physical_to_logical)

    @cached_property
    def gpu_load(self) -> np.ndarray:
        """[layers, gpus]"""
        return self.slot_load.reshape(-1, self.sizes.gpus, self.sizes.slots).sum(axis=2)

    @cached_property
    def node_load(self) -> np.ndarray:
        """[layers, nodes]"""
        return self.gpu_load.reshape(-1, self.sizes.nodes, self.sizes.gpus // self.sizes.nodes).sum(axis=2)

    @cached_property
    def balancedness(self) -> np.ndarray:
        """[layers]: mean / maximum of the GPUs' loads. 1 is even; a layer lasts as long as its busiest GPU needs."""
        return _ratio(self.gpu_load.mean(axis=1), self.gpu_load.max(axis=1))

    @cached_property
    def lower_bound(self) -> np.ndarray:
        """[layers]: the busiest GPU has at least this load, wherever experts of these sizes are placed."""
        return lower_bound(self.load, self.sizes)

    @cached_property
    def attainable(self) -> np.ndarray:
        """[layers]: a balancedness that no placement exceeds. It may be out of reach: the bound is not always tight."""
        return _ratio(self.load.sum(axis=1) / self.sizes.gpus, self.lower_bound)

    # -- moves -------------------------------------------------------------------------------------------------------

    @cached_property
    def _held(self) -> np.ndarray:
        """int [layers, gpus, experts]: replicas of each expert on each GPU."""
        on_gpu = counts(self.physical_to_logical.reshape(-1, self.sizes.slots), self.sizes.experts)
        return on_gpu.reshape(-1, self.sizes.gpus, self.sizes.experts)

    def moves(self, previous: Plan, *, across_nodes: bool = False) -> np.ndarray:
        """[layers]: slots whose expert the GPU did not hold under the previous plan.

        Parameters
        ----------
        previous : Plan
            Of the same sizes; else a ValueError says what differs.
        across_nodes : bool
            Count only slots whose expert no GPU of the node held, so that it comes over the slower network.

        Examples
        --------
        >>> old, new = (Plan.from_map([slots], [[6, 1, 2]], gpus=2) for slots in ([0, 1, 0, 2], [2, 1, 0, 2]))
        >>> new.moves(old).tolist()
        [1]
        """
        previous.check_sizes(self.sizes)
        before = previous._held
        if across_nodes:
            nodes, gpus = self.sizes.nodes, self.sizes.gpus
            of_node = before.reshape(-1, nodes, gpus // nodes, self.sizes.experts).sum(axis=2)
            before = np.repeat(of_node, gpus // nodes, axis=1)
        return np.where(before == 0, self._held, 0).sum(axis=(1, 2))

    def moved(self, previous: Plan) -> float:
        """The share of all slots that `moves`."""
        return float(self.moves(previous).sum() / max(self.physical_to_logical.size, 1))

    def bytes_moved(self, previous: Plan, expert_bytes: int, *, across_nodes: bool = False) -> int:
        """Bytes of weights to send from the previous plan to this one, in all layers, at `expert_bytes` an expert."""
        return int(self.moves(previous, across_nodes=across_nodes).sum()) * at_least(0, expert_bytes, "expert_bytes")

    def check_sizes(self, sizes: Sizes) -> None:
        """ValueError, saying what differs, unless the plan has these sizes; groups may differ."""
        names = ("layers", "experts", "replicas", "gpus", "nodes")
        values = [(name, getattr(self.sizes, name), getattr(sizes, name)) for name in names]
        differ = [f"{mine} {name}, not {wanted}" for name, mine, wanted in values if mine != wanted]
        if differ:
            raise ValueError(f"the previous plan has {', '.join(differ)}")

    # -- out and in --------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The plan as a JSON object, without the -1 of logical_to_physical."""
        return json.dumps(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """What `to_json` writes."""
        slots = self.logical_to_physical.tolist()
        return {
            "policy": self.policy,
            **{name: getattr(self.sizes, name) for name in ("experts", "replicas", "gpus", "nodes", "groups")},
            "load": self.load.tolist(),
            "physical_to_logical": self.physical_to_logical.tolist(),
            "logical_to_physical": [[[slot for slot in each if slot >= 0] for each in layer] for layer in slots],
            "replica_count": self.replica_count.tolist(),
        }

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """A plan that `to_json` wrote. ValueError if it did not write this text."""
        try:
            found = json.loads(text)
            placed = np.array(found["physical_to_logical"]).reshape(-1, found["replicas"])
            if not placed.size:  # numpy takes an empty list for one of floats
                placed = placed.astype(int)
            given = np.array(found["load"], dtype=float).reshape(len(placed), found["experts"])
            sizes, policy = (found["gpus"], found["nodes"], found["groups"]), found["policy"]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"this is no plan in JSON, as Plan.to_json writes it: {error!r}") from None
        return cls.from_map(placed, given, *sizes, policy=policy)

    def __repr__(self) -> str:
        return f"<Plan {self._title()}>"

    def _title(self) -> str:
        sizes = self.sizes
        nodes = f" of {sizes.nodes} nodes" if sizes.nodes > 1 else ""
        groups = f", {sizes.groups} groups" if sizes.parts > 1 else ""
        return (
            f"{self.policy}: {sizes.layers} layers, {sizes.experts} experts as {sizes.replicas} replicas{groups}, "
            f"{sizes.slots} on each of {sizes.gpus} GPUs{nodes}"
        )

    @property
    def table(self) -> Table[tuple[Any, ...]]:
        """A row per layer; of many layers, those that are balanced the worst."""
        shown = np.sort(np.argsort(self.balancedness, kind="stable")[:_SHOWN])
        busiest, most, mean = self.gpu_load.argmax(axis=1), self.gpu_load.max(axis=1), self.gpu_load.mean(axis=1)
        figures = (self.balancedness, self.attainable, busiest, most, mean, self.replica_count.max(axis=1))
        rows: list[tuple[Any, ...]] = [(layer, *(each[layer] for each in figures)) for layer in shown.tolist()]
        if len(self.load) > 1:
            rows.append(("all", self.balancedness.mean(), self.attainable.mean(), None, None, None, None))
        rest = f"the {len(shown)} layers that are balanced the worst, and the mean of all {len(self.load)}"
        return Table(
            rows,
            ("layer", "balancedness", "attainable", "busiest GPU", "its load", "mean", "most replicas"),
            formats={"balancedness": ".4f", "attainable": ".4f", "its load": ".6g", "mean": ".6g"},
            align={"layer": "right"},
            notes=[rest] if len(shown) < len(self.load) else [],
            title=self._title(),
        )


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, and 1 where both are 0."""
    return np.divide(part, whole, out=np.ones(len(whole)), where=whole > 0)
