"""Backends: a scene as SVG for widgets, with matplotlib for pictures, as text for a terminal."""
