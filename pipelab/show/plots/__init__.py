"""Plots: functions that answer with a picture."""
