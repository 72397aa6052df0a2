"""Order the overlap: in which order to start a layer's segments, so that communication hides behind computation."""

from ...simulator import Costs
from ..checks.order_check import POSSIBLE, QUESTION, Machine
from .base import Assignment, Test

_EVEN = Machine(Costs(8, 8, 8, forward_comm=12, backward_input_comm=12))  # as much communication as computation
_SLOW = Machine(Costs(8, 8, 8, forward_comm=20, backward_input_comm=20))  # more of it
_DEEPSEEK = Machine(Costs.deepseek_v3())
_REAL = Machine(Costs(60, 60, 60, forward_comm=90, backward_input_comm=90, unit="ms"), layers=2)

ASSIGNMENT = Assignment(
    name="overlap-order",
    title="Order the overlap",
    version=2,
    files={"order.py": ("my_order()",)},
    questions=(QUESTION,),
    tests=(
        Test("is possible", 2, POSSIBLE).hinted(
            "each segment once; of each direction, a segment comes after the one whose result it needs",
            "forward: attention, dispatch, experts, combine; backward: combine, experts, dispatch, attention",
        ),
        Test("hides as much as can be, with as much communication as computation", 3, _EVEN.hides()).hinted(
            "let each exchange set out as early as it can, and compute for the other direction meanwhile",
            "weight gradients wait best: do them while an exchange of their own direction is under way",
        ),
        Test("hides as much as can be, with more communication", 2, _SLOW.hides()).hinted(
            "now the communication stream must never wait: what can be sent first of all?"
        ),
        Test("hides as much as can be, with DeepSeek's figures", 2, _DEEPSEEK.hides()).hinted(
            "the order in DeepSeek's published profile is one of the answers"
        ),
        Test("runs on two real ranks", 1, _REAL.runs(), real=True).hinted(
            "pipelab.moe.hide(my_order()) runs it; what does it say?"
        ),
    ),
)
