"""Explorers: widgets with sliders, most of them with a button that runs what they show on real ranks."""
