"""Plots: functions that return a picture."""
