"""Grading: submissions are found and judged, and their results written, listed and put on a leaderboard."""
