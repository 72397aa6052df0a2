"""Explorers: widgets with sliders, and with a button that runs on real ranks what they show."""
