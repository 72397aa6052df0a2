"""Action: PyTorch's notation, there and back."""

import pickle

import pytest
from hypothesis import given, strategies as st

from pipelab.ir import Action

numbers = st.integers(0, 10**6)
kinds = ["F", "I", "W", "B", "SEND_F", "RECV_F", "SEND_B", "RECV_B"]
plain = st.tuples(st.sampled_from(kinds), numbers, numbers).map(lambda three: Action(*three))
pairs = st.builds(
    Action.overlap,
    st.tuples(st.just("F"), numbers, numbers).map(lambda three: Action(*three)),
    st.tuples(st.sampled_from("BI"), numbers, numbers).map(lambda three: Action(*three)),
)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        (Action("F", 2, 3), "2F3"),
        (Action("W", 0, 12), "0W12"),
        (Action("SEND_F", 2, 3), "2SEND_F3"),
        (Action("RECV_B", 3, 0), "3RECV_B0"),
        (Action.overlap(Action("F", 0, 7), Action("B", 3, 2)), "(0F7;3B2)OVERLAP_F_B"),
        (Action.overlap(Action("F", 1, 0), Action("I", 1, 0)), "(1F0;1I0)OVERLAP_F_B"),
    ],
)
def test_it_prints_as_torch_prints_it(action, text):
    assert str(action) == repr(action) == text
    assert Action.parse(f" {text}\n") == action


@given(plain | pairs)
def test_text_and_pickle_round_trip(action):
    assert Action.parse(str(action)) == action
    assert pickle.loads(pickle.dumps(action)) == action
    assert hash(Action.parse(str(action))) == hash(action)


@given(plain | pairs)
def test_torch_reads_it_and_writes_it_the_same(action):
    from torch.distributed.pipelining.schedules import _Action

    theirs = _Action.from_str(str(action))
    assert str(theirs) == str(action)
    halves = theirs.sub_actions or (theirs,)
    assert [(h.stage_index, h.computation_type.value, h.microbatch_index) for h in halves] == [
        (part.stage, part.kind, part.microbatch) for part in action.parts or (action,)
    ]


@pytest.mark.parametrize(
    "text",
    ["", "F", "2F", "F3", "2G3", "-1F0", "2F-3", "2f3", "1.5F0", "2F3 4", "²F³", "2FB3", "(0F1)OVERLAP_F_B"]
    + ["(0F1;1F0)OVERLAP_F_B", "(0B1;1F0)OVERLAP_F_B", "(0F1;1B0;0B0)OVERLAP_F_B", "(0F1;1W0)OVERLAP_F_B", "0F1;1B0"]
    + ["((0F1;1B0)OVERLAP_F_B;1B0)OVERLAP_F_B", "(0F1;1B0)", "1OVERLAP_F_B0", "1UNSHARD"],
)
def test_what_is_no_action_is_refused_by_its_text(text):
    with pytest.raises(ValueError) as error:
        Action.parse(text)
    assert any(word in str(error.value) for word in ("is not an action", "an overlapped pair is one F and one B or I"))
    assert text in str(error.value) or text.startswith("(")


@pytest.mark.parametrize("kinds", ["FF", "BF", "BB", "FW", "IF"])
def test_only_a_forward_and_a_backward_overlap(kinds):
    first, second = (Action(kind, 0, 0) for kind in kinds)
    with pytest.raises(ValueError, match=f"one F and one B or I, in this order; got {first} and {second}"):
        Action.overlap(first, second)


def test_what_an_action_computes():
    forward, backward = Action("F", 0, 1), Action("I", 1, 0)
    assert forward.computes == (forward,)
    assert Action.overlap(forward, backward).computes == (forward, backward)
    assert Action("SEND_F", 0, 1).computes == ()
