"""What happened when: one type for what was simulated and what was measured."""

from .causes import Causes, Gap
from .load import load_profile
from .profile import Profile
from .timeline import COMM, COMPUTE, Span, Timeline
from .trace import from_chrome_trace, to_chrome_trace

__all__ = [
    "COMM",
    "COMPUTE",
    "Causes",
    "Gap",
    "Profile",
    "Span",
    "Timeline",
    "from_chrome_trace",
    "load_profile",
    "to_chrome_trace",
]
