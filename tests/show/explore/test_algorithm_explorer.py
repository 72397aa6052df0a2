"""Step by step: what is shown is what the balancer computes."""

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings

from pipelab import rebalance
from pipelab.eplb import reference
from pipelab.eplb.sizes import Sizes
from pipelab.show import explore_algorithm
from tests.eplb.strategies import arguments, sizes_and_load

LOAD = [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86]  # the example of deepseek-ai/EPLB


def rects(svg):
    return [element for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("rect")]


@given(sizes_and_load())
@settings(max_examples=40)
def test_the_last_picture_is_the_greedy_plan(given_: tuple[Sizes, np.ndarray]) -> None:
    sizes, load = given_
    what = "hierarchical" if sizes.hierarchical else "global"
    stepper = explore_algorithm(load[:1], *arguments(sizes), what=what)
    plan = rebalance(load[:1], *arguments(sizes), policy="greedy")
    assert np.array_equal(stepper.plan.physical_to_logical, plan.physical_to_logical)
    last = stepper.states[-1]
    assert [sorted(held) for held in last.gpus] == np.sort(
        plan.physical_to_logical.reshape(sizes.gpus, -1), axis=1
    ).tolist()
    assert last.replicas == plan.replica_count[0].tolist()


def test_every_picture_is_one_step_further():
    stepper = explore_algorithm(LOAD, 16, 8, 2, 4, what="hierarchical")
    assert len(stepper.states) == len(stepper.sentences) == len(stepper.steps) + 1 == 4 + 4 + 16 + 1
    for before, after, step in zip(stepper.states, stepper.states[1:], stepper.steps, strict=False):
        assert len(after.node_of) - len(before.node_of) == (step.kind == "group")
        assert sum(after.replicas) - sum(before.replicas) == (step.kind == "replica")
        assert sum(map(len, after.gpus)) - sum(map(len, before.gpus)) == (step.kind == "slot")
    assert [step.kind for step in stepper.steps[:5]] == ["group"] * 4 + ["replica"]
    assert stepper.states[-1].node_of == {1: 0, 3: 1, 0: 1, 2: 0}


def test_sentences_say_what_happens_and_why():
    replicate = explore_algorithm([8, 3, 1], 6, what="replicate")
    assert replicate.sentences == [
        "3 experts, one replica each, and 6 slots: who gets the 3 more replicas?",
        "Expert 0, 8 per replica, is the heaviest: it gets a second replica, and each has 4.",
        "Expert 0, 4 per replica, is the heaviest: it gets a third replica, and each has 2.667.",
        "Expert 1, 3 per replica, is the heaviest: it gets a second replica, and each has 1.5. "
        "Done: no replica has more than 2.667; with one replica each it was 8.",
    ]
    assert replicate.plan is None
    pack = explore_algorithm([5, 9, 4, 2], gpus=2, what="pack")
    assert pack.sentences[1] == "Item 1, 9, is the heaviest left. GPU 0 is still empty: there it goes."
    assert pack.sentences[3] == (
        "Item 2, 4, is the heaviest left. GPU 1, with 5 so far, is the lightest with room: there it goes."
    )
    assert pack.sentences[4].endswith("Done: the busiest GPU has 11, and the mean is 10: balancedness 0.909.")
    inside = explore_algorithm(LOAD, 16, 8, 2, 4, what="hierarchical")
    assert "Group 1, with 330, is the heaviest left. Node 0, with 0 so far" in inside.sentences[1]
    assert "Expert 5, 165 per replica, is the heaviest of node 0" in inside.sentences[5]
    alone = explore_algorithm([3, 1], gpus=2, what="pack")
    assert alone.sentences[1].startswith("One slot on each GPU, so there is nothing to choose: item 0 goes to GPU 0.")
    nothing = explore_algorithm([0, 0], 4, 2)
    assert nothing.sentences[1].startswith("No expert here has any load, so that all count the same: expert 0")


def test_buttons_and_slider_move_picture_and_sentence():
    stepper = explore_algorithm(LOAD, 16, 8)
    assert (stepper.back.disabled, stepper.next.disabled) == (True, False)
    seen = {stepper.picture.value}
    for at in range(1, len(stepper.steps) + 1):
        stepper.next.click()
        assert stepper.at.value == at
        assert stepper.sentences[at] in stepper.sentence.value
        seen.add(stepper.picture.value)
    assert len(seen) == len(stepper.states)
    assert (stepper.back.disabled, stepper.next.disabled) == (False, True)
    stepper.next.click()
    stepper.back.click()
    assert stepper.at.value == len(stepper.steps) - 1
    assert "the busiest GPU" not in stepper.sentence.value
    assert stepper.play.max == stepper.at.max == len(stepper.steps)
    assert 'aria-live="polite"' in stepper.sentence.value


def test_pictures_show_each_replica_and_what_each_gpu_holds():
    stepper = explore_algorithm(LOAD, 16, 8)
    stepper.at.value = 9  # four replicas, then five slots
    hints = [title.text for rect in rects(stepper.picture.value) for title in rect if title.tag.endswith("title")]
    assert sum("expert 10: load 183, 2 replicas of 91.5" in hint for hint in hints) == 2 + 1  # and what it was before
    assert [hint for hint in hints if hint.startswith("GPU")] == [
        "GPU 0, 91.5 in all: expert 10, 91.5",
        "GPU 1, 91.5 in all: expert 10, 91.5",
        "GPU 2, 90 in all: expert 0, 90",
        "GPU 3, 86 in all: expert 11, 86",
        "GPU 4, 82.5 in all: expert 5, 82.5",
    ]


def test_without_a_kernel_there_is_a_picture_of_the_end():
    for what in ("replicate", "pack", "global", "hierarchical"):
        bundle = explore_algorithm(LOAD, 16, 4, 2, 4, what=what)._repr_mimebundle_()
        assert bundle["image/png"].startswith("iVBOR")
        assert bundle["text/plain"].startswith(f"{what}, step 0 of ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"what": "sort"}, "what must be one of replicate, pack, global, hierarchical; got 'sort'"),
        ({"replicas": 11}, "replicas must be 12 or more"),
        ({"gpus": 5, "what": "pack"}, "replicas must be a multiple of gpus"),
        ({"nodes": 2, "groups": 3, "what": "hierarchical"}, "groups must be a multiple of nodes"),
        ({"load": [LOAD, LOAD]}, "one layer at a time; got 2"),
        ({"load": [1, -1]}, "load must be finite and not negative"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, said):
    with pytest.raises(ValueError, match=said):
        explore_algorithm(**{"load": LOAD, "replicas": 16, **arguments})


def test_steps_of_the_loops_lead_to_their_results():
    steps = reference.replicate_steps([8, 3, 1], 6)
    assert [tuple(step) for step in steps] == [("replica", 0, 2), ("replica", 0, 3), ("replica", 1, 2)]
    assert reference.finish(reference.replicate_steps([8, 3, 1], 6)) == ([0, 1, 2, 0, 0, 1], [0, 0, 0, 1, 2, 1])
