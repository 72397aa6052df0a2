"""Backends: scenes as SVG for widgets, as matplotlib pictures, and as text for a terminal."""
