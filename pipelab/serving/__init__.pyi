from .launch import serve as serve
from .migration import PlacedExperts as PlacedExperts, migrate as migrate
from .outcome import Served as Served, Serving as Serving
