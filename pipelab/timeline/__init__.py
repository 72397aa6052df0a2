"""What happened when: one type for what was simulated and what was measured."""

from .chrome_trace import from_chrome_trace, to_chrome_trace
from .dependencies import Dependencies, Gap
from .timeline import COMM, COMPUTE, Span, Timeline

__all__ = ["COMM", "COMPUTE", "Dependencies", "Gap", "Span", "Timeline", "from_chrome_trace", "to_chrome_trace"]
