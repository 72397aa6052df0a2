"""What makes a schedule right, written a second time and as plainly as can be: the tests' own judge."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from graphlib import CycleError, TopologicalSorter

from pipelab.ir import Action, Schedule

Node = tuple[int, int]  # rank, position in its program


def parts(action: Action) -> tuple[Action, ...]:
    return action.parts or (action,)


def computes(schedule: Schedule) -> dict[Node, Action]:
    return {
        (r, i): a
        for r, program in enumerate(schedule.programs)
        for i, a in enumerate(program)
        if "_" not in a.kind or a.parts
    }


def makers(schedule: Schedule) -> dict[tuple[str, int, int], Node]:
    """Who makes what: ("F", s, m) an output, ("I", s, m) a gradient for the input."""
    made = {}
    for node, action in computes(schedule).items():
        for part in parts(action):
            made[part.kind.replace("B", "I"), part.stage, part.microbatch] = node
    return made


def needs(part: Action, num_stages: int) -> list[tuple[str, int, int]]:
    s, m = part.stage, part.microbatch
    if part.kind == "F":
        return [("F", s - 1, m)] if s else []
    if part.kind == "W":
        return [("I", s, m)]
    return [("F", s, m)] + ([("I", s + 1, m)] if s + 1 < num_stages else [])


def graph(schedule: Schedule) -> dict[Node, set[Node]]:
    """Each action after the one before it in its program, and after what it needs."""
    made = makers(schedule)
    after: dict[Node, set[Node]] = {}
    for node, action in computes(schedule).items():
        rank, position = node
        earlier = [(rank, i) for i in range(position) if (rank, i) in after]
        wanted = [need for part in parts(action) for need in needs(part, schedule.num_stages)]
        after[node] = {*earlier[-1:], *(made[need] for need in wanted)}
    return after


def complete(schedule: Schedule) -> bool:
    found = Counter(
        (rank, part.kind, part.stage, part.microbatch)
        for (rank, _), action in computes(schedule).items()
        for part in parts(action)
    )
    for m in range(schedule.num_microbatches):
        for s in range(schedule.num_stages):
            rank = schedule.rank_of(s, m)
            whole, split = Counter([(rank, "B", s, m)]), Counter([(rank, "I", s, m), (rank, "W", s, m)])
            right = [whole, split] if schedule.training else [Counter()]
            here = Counter({key: n for key, n in found.items() if key[2:] == (s, m)})
            if not any(here == Counter([(rank, "F", s, m)]) + backward for backward in right):
                return False
            for key in here:
                del found[key]
    return not found


def well_formed(action: Action) -> bool:
    kinds = [part.kind for part in action.parts]
    return (action.kind == "OVERLAP_F_B") == bool(kinds) and kinds in ([], ["F", "B"], ["F", "I"])


def is_valid(schedule: Schedule) -> bool:
    """For a schedule without messages."""
    if not all(well_formed(action) for program in schedule.programs for action in program) or not complete(schedule):
        return False
    after = graph(schedule)
    try:
        TopologicalSorter(after).prepare()
    except CycleError:
        return False
    return all(node not in before for node, before in after.items())


def messages(schedule: Schedule) -> Counter[tuple[int, Action]]:
    """(rank, SEND or RECV) of every message that a schedule needs, from its placement alone."""
    wanted: Counter[tuple[int, Action]] = Counter()
    for m in range(schedule.num_microbatches):
        for s in range(schedule.num_stages - 1):
            upper, lower = schedule.rank_of(s, m), schedule.rank_of(s + 1, m)
            if upper != lower:
                wanted += Counter([(upper, Action("SEND_F", s, m)), (lower, Action("RECV_F", s + 1, m))])
                if schedule.training:
                    wanted += Counter([(lower, Action("SEND_B", s + 1, m)), (upper, Action("RECV_B", s, m))])
    return wanted


def runs_without_tags(schedule: Schedule) -> bool:
    """Run a lowered schedule, one action at a time on every rank.

    A send puts what the rank has made into the channel to the other rank, and a receive takes whatever comes out of the
    channel first, since nothing names it; where it is empty, the rank waits.

    False if a rank never ends, is given something else than it expects, sends what it has not got or computes on it,
    and if anything is left in a channel.
    """
    heads = [0] * schedule.num_ranks
    have: list[set[tuple[str, int, int]]] = [set() for _ in heads]
    channels: defaultdict[tuple[int, int], deque[tuple[str, int, int]]] = defaultdict(deque)

    def other_end(action: Action) -> tuple[int, int] | None:
        """(stage, rank) that a message goes to or comes from."""
        stage = action.stage + (1 if action.kind in ("SEND_F", "RECV_B") else -1)
        return (stage, schedule.rank_of(stage, action.microbatch)) if 0 <= stage < schedule.num_stages else None

    moved = True
    while moved:
        moved = False
        for rank, program in enumerate(schedule.programs):
            if heads[rank] == len(program):
                continue
            action = program[heads[rank]]
            if action.kind[:4] in ("SEND", "RECV"):
                end = other_end(action)
                if end is None or end[1] == rank:
                    return False
                stage, peer = end
                what = {"F": "F", "B": "I"}[action.kind[-1]]
                if action.kind.startswith("SEND"):
                    made = what, action.stage, action.microbatch
                    if made not in have[rank]:
                        return False
                    channels[rank, peer].append(made)
                elif not channels[peer, rank]:
                    continue
                elif (came := channels[peer, rank].popleft()) == (what, stage, action.microbatch):
                    have[rank].add(came)
                else:
                    return False
            else:
                if any(need not in have[rank] for part in parts(action) for need in needs(part, schedule.num_stages)):
                    return False
                have[rank].update((p.kind.replace("B", "I"), p.stage, p.microbatch) for p in parts(action))
            heads[rank] += 1
            moved = True
    return heads == [*map(len, schedule.programs)] and not any(channels.values())
