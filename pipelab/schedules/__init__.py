"""The named schedules. One file holds one schedule and everything about it: builder, closed form, sources, name."""

from .registry import SCHEDULES, Registered, build, discover, register, registered
from .theory import Theory, theory

discover(__path__, __name__)
_BUILDERS = {builder.__name__: builder for builder in SCHEDULES.values()}
globals().update(_BUILDERS)

__all__ = ["SCHEDULES", "Registered", "Theory", "build", "register", "registered", "theory", *_BUILDERS]
