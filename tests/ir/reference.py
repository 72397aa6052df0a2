"""What makes a schedule right, written a second time and as plainly as can be: the tests' own judge."""

from __future__ import annotations

from collections import Counter
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
    """Run a lowered schedule under the strictest rules, one action at a time on every rank.

    A send waits until the other rank stands at a receive from this one, and then delivers whatever was sent, since
    nothing names it.

    False if a rank never ends, is given something else than it expects, or computes on what it has not got.
    """
    heads = [0] * schedule.num_ranks
    have: list[set[tuple[str, int, int]]] = [set() for _ in heads]

    def head(rank: int) -> Action | None:
        program = schedule.programs[rank]
        return program[heads[rank]] if heads[rank] < len(program) else None

    def other_end(action: Action) -> tuple[int, int] | None:
        """(stage, rank) that a message goes to or comes from."""
        stage = action.stage + (1 if action.kind in ("SEND_F", "RECV_B") else -1)
        return (stage, schedule.rank_of(stage, action.microbatch)) if 0 <= stage < schedule.num_stages else None

    moved = True
    while moved:
        moved = False
        for rank in range(schedule.num_ranks):
            action = head(rank)
            if action is None:
                continue
            if action.kind in ("SEND_F", "SEND_B"):
                end = other_end(action)
                if end is None or end[1] == rank:
                    return False
                stage, peer = end
                receive = head(peer)
                if receive is None or receive.kind not in ("RECV_F", "RECV_B"):
                    continue
                start = other_end(receive)
                if start is None or start[1] != rank:
                    continue
                what = {"SEND_F": "F", "SEND_B": "I"}[action.kind], action.stage, action.microbatch
                expected = receive.kind == action.kind.replace("SEND", "RECV")
                if not expected or (receive.stage, receive.microbatch) != (stage, action.microbatch):
                    return False
                if what not in have[rank]:
                    return False
                have[peer].add(what)
                heads[rank] += 1
                heads[peer] += 1
                moved = True
            elif action.kind not in ("RECV_F", "RECV_B"):
                if any(need not in have[rank] for part in parts(action) for need in needs(part, schedule.num_stages)):
                    return False
                have[rank].update((p.kind.replace("B", "I"), p.stage, p.microbatch) for p in parts(action))
                heads[rank] += 1
                moved = True
    return all(head(rank) is None for rank in range(schedule.num_ranks))
