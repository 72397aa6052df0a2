"""Where experts go: placements made, bounded and improved, for all layers at once."""
