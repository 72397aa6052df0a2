"""What happened when: one type for what was simulated and what was measured."""

from .chrome_trace import from_chrome_trace, to_chrome_trace
from .dependencies import Dependencies, Gap
from .intervals import Intervals
from .span import COMM, COMPUTE, Span
from .timeline import Timeline

__all__ = [
    "COMM",
    "COMPUTE",
    "Dependencies",
    "Gap",
    "Intervals",
    "Span",
    "Timeline",
    "from_chrome_trace",
    "to_chrome_trace",
]
