"""lower: add the sends and receives to a schedule, in the order in which ranks do them."""

from __future__ import annotations

import numpy as np

from .check import require_valid
from .flow import Flow
from .schedule import Schedule


def lower(schedule: Schedule) -> Schedule:
    """The same schedule with SEND and RECV actions, each rank's program in the order in which the rank executes it.

    A send directly follows the computation that makes what it sends. A receive stands as late as it can: directly
    before the computation that needs its message, or that needs a message which the same rank sends later.

    Parameters
    ----------
    schedule : Schedule
        With or without messages; those that it has are replaced.

    Returns
    -------
    Schedule
        Lowered; `check` finds nothing wrong with it.

    Raises
    ------
    ScheduleError
        If `check` finds a problem.

    Notes
    -----
    A send holds its rank up no longer than it takes to start, and a receive until its message has come. What one rank
    sends to another travels on a channel of its own, and arrives in the order in which it was sent. So messages need no
    tags. A rank that waits for a message waits for a rank that has yet to compute it, or to compute one that this very
    computation needs as well; ranks that waited in a circle would compute in a circle, and `check` has excluded that.
    Nor does it matter if a message that nobody has asked for holds up the messages behind it on its channel, as with
    NCCL: those ahead of the one that a rank waits for have been received.

    Examples
    --------
    >>> from pipelab.schedules import gpipe
    >>> print(lower(gpipe(2, 1)))
    gpipe: 2 ranks, 2 stages, 1 micro-batch
    rank 0       0F0 0SEND_F0 0RECV_B0      0B0
    rank 1  1RECV_F0      1F0      1B0 1SEND_B0
    """
    require_valid(schedule)
    flow = Flow.of(schedule)
    needer, maker = flow.messages()
    channel = flow.rank[maker] * schedule.num_ranks + flow.rank[needer]
    as_sent = np.lexsort((maker, channel))
    needer, maker, channel = needer[as_sent], maker[as_sent], channel[as_sent]
    # A message is received before whatever needs it, or needs one that is sent after it on the same channel.
    apart = channel.astype(np.int64) * len(flow.codes)
    received = np.minimum.accumulate((needer + apart)[::-1])[::-1] - apart
    rows = np.arange(len(flow.codes))
    action = rows - flow.parts.second  # the first row of a pair stands for both
    part = np.concatenate([received, rows, maker])
    place = np.repeat([0, 1, 2], [len(received), len(rows), len(maker)])  # receives, computation, sends
    codes = np.concatenate([flow.receives(needer), flow.codes, flow.sends(maker)])
    order = np.lexsort((part, place, action[part]))
    length = np.bincount(flow.rank[part], minlength=schedule.num_ranks)
    programs = np.split(codes[order], np.cumsum(length)[:-1])
    return Schedule(schedule.name, schedule.placement, schedule.num_microbatches, programs, schedule.training)
