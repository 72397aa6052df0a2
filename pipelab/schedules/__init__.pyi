# For type checkers; `__init__.py` finds the builders itself, one in each file of this folder.
from .closed_form import Theory as Theory
from .dualpipe import dualpipe as dualpipe
from .dualpipe_v import dualpipe_v as dualpipe_v
from .gpipe import gpipe as gpipe
from .interleaved import interleaved_1f1b as interleaved_1f1b
from .naive import naive as naive
from .one_f_one_b import one_f_one_b as one_f_one_b
from .registry import (
    SCHEDULES as SCHEDULES,
    Registered as Registered,
    build as build,
    register as register,
    registered as registered,
)
from .theory import theory as theory
from .zb_h1 import zb_h1 as zb_h1
from .zb_h2 import zb_h2 as zb_h2
from .zb_v import zb_v as zb_v
