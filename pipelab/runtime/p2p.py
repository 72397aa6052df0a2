"""One rank's messages: sends are asynchronous, receives posted ahead, shapes checked before they can do harm."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from ..ir import Action, Schedule
from ..ir.action import RECV_B, RECV_F, SEND_B, SEND_F
from ..ir.messages import channels
from .grid import Grid

AHEAD = 8  # receives posted at most, the next one among them: few enough to bound the buffers
_HEADER = 16  # whole numbers in a header: dtype, dimensions, sizes
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_DATA, _SHAPE, _STAMP = range(3)
_MOVES = (SEND_F, SEND_B, RECV_F, RECV_B)


class Way(NamedTuple):
    """That of one message, as this rank sees it."""

    peer: int  # the rank at the other end, in this pipeline
    group: Any
    place: int  # the peer's, in the group
    tag: int  # of its first part


class Messages:
    """What a rank sends and receives in the course of one step after another.

    The first activation over each boundary between stages is preceded by its shape (`announce`); after that both sides
    know it, and receives are posted AHEAD, in the program's order. Every message has a tag of its own, so that none can
    be taken for another; where tags do not exist (NCCL), the order is enough, as `lower` proves.

    Parameters
    ----------
    schedule : Schedule
        Lowered.
    grid : Grid
        Where this rank stands. All ranks make their Messages at the same time, as they must make groups together.
    device : torch.device
        On which tensors are received.
    link : list of float, optional
        Seconds that a message between the stages s and s + 1 takes: emulates a slow link by holding the message until
        its sender's time stamp is that old. None: the link is what it is.
    """

    def __init__(self, schedule: Schedule, grid: Grid, device: torch.device, link: list[float] | None = None) -> None:
        self.schedule, self.rank, self.device, self.link = schedule, grid.row, device, link
        self.world = grid.pipeline
        program = schedule.programs[grid.row]
        channels = _channels(schedule, grid)
        self.ways = {action: self._way(action, channels) for action in program if action.kind in _MOVES}
        self.receives = [action for action in program if action.kind in (RECV_F, RECV_B)]
        # (stage, rank at the other end) -> of its output or input. A stage on two routes has two ranks on either side.
        self.sent_shapes: dict[tuple[int, int], tuple[torch.dtype, torch.Size]] = {}
        self.received_shapes: dict[tuple[int, int], tuple[torch.dtype, torch.Size]] = {}
        self.bytes_sent = 0
        self.arrived = 0.0
        self.start_step()

    def start_step(self) -> None:
        self.next_receive = 0
        self.posted: dict[Action, tuple[list[Any], torch.Tensor, torch.Tensor | None]] = {}
        self.sending: dict[Action, list[tuple[Any, torch.Tensor]]] = {}
        self.post()

    # -- sending -----------------------------------------------------------------------------------------------------

    def announce(self, action: Action, tensor: torch.Tensor) -> None:
        """Send the shape of a stage's output, once, as soon as it is known: the receiver can then await the output."""
        way = self.ways.get(action)  # none to a stage on this very rank
        if way and (action.stage, way.peer) not in self.sent_shapes:
            works = self.sending.setdefault(action, [])
            _start_send(works, _header(tensor).to(self.device), way, _SHAPE)
            # The gradient of what is sent has its shape: receives for it can be posted from now on.
            self.sent_shapes[action.stage, way.peer] = (tensor.dtype, tensor.shape)

    def send(self, action: Action, tensor: torch.Tensor) -> None:
        """Start to send; the tensor must not change before `sent`."""
        way, works = self.ways[action], self.sending.setdefault(action, [])
        if self.link is not None:
            boundary = action.stage if action.kind == SEND_F else action.stage - 1
            stamp = torch.tensor([time.monotonic_ns() + round(self.link[boundary] * 1e9)], device=self.device)
            _start_send(works, stamp, way, _STAMP)
        _start_send(works, tensor.contiguous(), way, _DATA)
        self.bytes_sent += tensor.numel() * tensor.element_size()

    def sent(self, action: Action) -> None:
        """Wait until a send is over, and let go of its buffers."""
        for work, _ in self.sending.pop(action, ()):
            work.wait()

    def finish_step(self) -> None:
        """Wait for everything that is still on its way."""
        for action in list(self.sending):
            self.sent(action)

    # -- receiving ---------------------------------------------------------------------------------------------------

    def receive(self, action: Action) -> torch.Tensor:
        """Wait for a message. `arrived` then says when it came, in time.monotonic."""
        if action not in self.posted:
            self.post(upto=action)
        works, tensor, stamp = self.posted.pop(action)
        for work in works:
            work.wait()
        self.arrived = time.monotonic()
        if stamp is not None:
            wait = (int(stamp.item()) - time.monotonic_ns()) / 1e9
            if wait > 0:
                time.sleep(wait)
                self.arrived = time.monotonic()
        return tensor

    def source(self, action: Action) -> int:
        """The rank, of the whole world, from which a receive comes."""
        return self.world[self.ways[action].peer]

    def post(self, upto: Action | None = None) -> None:
        """Post receives in the program's order, AHEAD of them, as far as their shapes are known; at least `upto`.

        It tells the sender that there is room: then a message goes out at once. So the time for it is before a
        computation. Where a rank is about to wait for a message, others are about to send. And several are posted at
        once, which wakes their senders less often.
        """
        if upto is None and len(self.posted) > AHEAD // 2:
            return
        while self.next_receive < len(self.receives) and (len(self.posted) < AHEAD or upto not in (None, *self.posted)):
            action = self.receives[self.next_receive]
            shapes = self.received_shapes if action.kind == RECV_F else self.sent_shapes
            way = self.ways[action]
            boundary = action.stage, way.peer
            if boundary not in shapes:
                if upto is None or upto in self.posted:
                    return
                shapes[boundary] = self._receive_shape(way)
            dtype, shape = shapes[boundary]
            works, stamp = [], None
            if self.link is not None:
                stamp = torch.empty(1, dtype=torch.int64, device=self.device)
                works.append(_start_receive(stamp, way, _STAMP))
            tensor = torch.empty(shape, dtype=dtype, device=self.device)
            works.append(_start_receive(tensor, way, _DATA))
            self.posted[action] = (works, tensor, stamp)
            self.next_receive += 1

    def _receive_shape(self, way: Way) -> tuple[torch.dtype, torch.Size]:
        header = torch.empty(_HEADER, dtype=torch.int64, device=self.device)
        _start_receive(header, way, _SHAPE).wait()
        dtype, dimensions, *sizes = header.tolist()
        return _DTYPES[dtype], torch.Size(sizes[:dimensions])

    def _way(self, action: Action, channels: dict[tuple[int, int], Any]) -> Way:
        """Tags are unique per message: both sides count it by the stage that receives."""
        sends, backward = action.kind in (SEND_F, SEND_B), action.kind in (SEND_B, RECV_B)
        step = 1 if sends != backward else -1
        stage = action.stage + step if sends else action.stage
        peer = self.schedule.rank_of(action.stage + step, action.microbatch)
        group = channels[(self.rank, peer) if sends else (peer, self.rank)]
        tag = ((action.microbatch * self.schedule.num_stages + stage) * 2 + backward) * 3
        return Way(peer, group, dist.get_group_rank(group, self.world[peer]), tag)


def _start_send(works: list, tensor: torch.Tensor, way: Way, part: int) -> None:
    works.append((way.group.send([tensor], way.place, way.tag + part), tensor))


def _start_receive(tensor: torch.Tensor, way: Way, part: int) -> Any:
    return way.group.recv([tensor], way.place, way.tag + part)


def _channels(schedule: Schedule, grid: Grid) -> dict[tuple[int, int], Any]:
    """(source, target) -> the process group on which one rank of this rank's pipeline sends to another.

    What is given to a group of NCCL happens one after the other, a receive after those from other ranks: so it takes a
    group for each pair of ranks and direction. With tags, two for everybody are enough, and made sooner.
    """
    pairs = sorted(channels(schedule))
    if dist.get_backend() == "nccl":
        everywhere = [grid.column_of(column) for column in range(grid.columns)]
        groups = [{pair: dist.new_group([column[end] for end in pair]) for pair in pairs} for column in everywhere]
        return groups[grid.column]
    towards = {upward: dist.new_group() for upward in (True, False)} if pairs else {}
    return {(source, target): towards[target > source] for source, target in pairs}


def _header(tensor: torch.Tensor) -> torch.Tensor:
    header = [_DTYPES.index(tensor.dtype), tensor.dim(), *tensor.shape]
    return torch.tensor(header + [0] * (_HEADER - len(header)), dtype=torch.int64)


def require_message(
    output: Any, stage: int, microbatch: int, first: tuple[torch.dtype, torch.Size] | None, travels: bool
) -> None:
    """Refuse what can't be sent, before gloo would hang or abort on it. The last stage's output needn't travel."""
    what = f"stage {stage} on micro-batch {microbatch}"
    if not isinstance(output, torch.Tensor):
        raise TypeError(f"{what} returned {type(output).__name__}; a stage must return one tensor")
    if travels and output.dtype not in _DTYPES:
        raise TypeError(f"{what} returned {output.dtype}; what travels between stages must be a floating-point tensor")
    if travels and output.dim() > _HEADER - 2:
        raise ValueError(f"{what} returned {output.dim()} dimensions; at most {_HEADER - 2} can be sent")
    if first is not None and (output.dtype, output.shape) != first:
        expected, got = (f"{list(shape)} {dtype}" for dtype, shape in (first, (output.dtype, output.shape)))
        raise ValueError(f"{what} returned {got}, but {expected} before: every micro-batch must give the same shape")
