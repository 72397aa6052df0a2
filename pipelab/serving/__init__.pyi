from .launch import serve as serve
from .migration import migrate as migrate
from .outcome import Served as Served, Serving as Serving
from .placed_experts import PlacedExperts as PlacedExperts
